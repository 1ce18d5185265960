// Polls while there is no socket. The rule: at the smallest interval of whoever watches, sooner when somebody new would wait too
// long, and not while nobody looks.

import type { Poller, Unanswered } from './poller'
import { isHidden } from './wake'
import type { ReadContent } from './wire'

/** Within this time, in milliseconds, after something more is watched. */
const SOON = 250

export interface PollsOwner {
  ids(): string[]
  interval(): number
  takeAnswer(answer: ReadContent): void
  /** A round is over: everything was answered, or not. */
  polled(failed: Unanswered | null): void
}

export class Polls {
  #on = false
  #timer: ReturnType<typeof setTimeout> | undefined
  /** When the next round is planned. */
  #at = 0
  /** A round waits for the page to be seen. */
  #held = false
  /** What the last round asked for. */
  #asked: ReadonlySet<string> = new Set()
  readonly #poller: Poller
  readonly #owner: PollsOwner

  constructor(poller: Poller, owner: PollsOwner) {
    this.#poller = poller
    this.#owner = owner
  }

  /** Plans the first round, unless rounds go on already. */
  start(wait: number): void {
    if (this.#on) return
    this.#on = true
    this.#after(wait)
  }

  stop(): void {
    this.#on = this.#held = false
    clearTimeout(this.#timer)
  }

  /** Who watches, or what, is another. */
  hurry(): void {
    if (this.#on && !this.#held && this.#isLate()) this.#after(Math.random() * SOON)
  }

  /** The page is seen again. */
  woke(): void {
    if (this.#held) void this.#round()
  }

  /** Somebody came who would wait too long for the round that is planned. */
  #isLate(): boolean {
    return this.#at > Date.now() + this.#owner.interval() * 1.2 || this.#owner.ids().some(id => !this.#asked.has(id))
  }

  #after(wait: number): void {
    clearTimeout(this.#timer)
    this.#at = Date.now() + wait
    this.#timer = setTimeout(() => {
      if (isHidden()) this.#held = true
      else void this.#round()
    }, wait)
  }

  async #round(): Promise<void> {
    this.#held = false
    const ids = this.#owner.ids()
    this.#asked = new Set(ids)
    const failed = await this.#poller.askAll(ids, answer => this.#owner.takeAnswer(answer))
    if (!this.#on) return
    const wait = this.#owner.interval() * (0.8 + 0.4 * Math.random())
    this.#at = 0
    this.#after(Math.max(this.#isLate() ? Math.random() * SOON : wait, failed?.retryAfter ?? 0))
    this.#owner.polled(failed)
  }
}
