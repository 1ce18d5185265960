// A fresh token before the old one ends, on the same connection. The rule: a failure is tried again while there is time; after
// that the edge ends the connection, and the way back asks for a fresh token too.

import type { Tokens } from './tokens'

/** A token is renewed so long before its end, in milliseconds, or at a tenth of its time if that is less. */
const BEFORE = 60_000
/** No more tries when less than this is left, in milliseconds. */
const LAST = 1_000
/** The least wait, in milliseconds, whatever the times say. */
const LEAST = 1_000
/** The longest time that a timer can wait for, in milliseconds. */
const LONGEST_TIMER = 2 ** 31 - 1

export class Renewal {
  #timer: ReturnType<typeof setTimeout> | undefined
  /** A renewal that was planned before `stop` is dropped. */
  #planned = 0
  /** When the token ends whose renewal is planned. */
  #ends = 0
  readonly #tokens: Tokens
  readonly #renewed: (token: string) => void
  readonly #failed: (error: unknown) => void

  constructor(tokens: Tokens, renewed: (token: string) => void, failed: (error: unknown) => void) {
    this.#tokens = tokens
    this.#renewed = renewed
    this.#failed = failed
  }

  /**
   * Plans the renewal of a token that ends then; null plans none. Both times are by the edge's clock, in milliseconds since
   * the epoch: a visitor's may be an hour off. A token that ends no later than the one before gains nothing: the edge ends
   * the connection.
   */
  plan(expiresAt: number | null, now: number): void {
    const gained = expiresAt !== null && expiresAt > this.#ends
    this.stop()
    if (!gained || !this.#tokens.renewable) return
    this.#ends = expiresAt
    const left = expiresAt - now
    this.#in(left - Math.min(BEFORE, left / 10), left)
  }

  stop(): void {
    this.#ends = 0
    this.#planned++
    clearTimeout(this.#timer)
  }

  /** After a wait, of the time that is left. */
  #in(wait: number, left: number): void {
    const bounded = Math.min(Math.max(wait, LEAST), LONGEST_TIMER)
    this.#timer = setTimeout(() => void this.#renew(left - bounded), bounded)
  }

  async #renew(left: number): Promise<void> {
    const planned = this.#planned
    try {
      const token = await this.#tokens.get('expired')
      if (token && planned === this.#planned) this.#renewed(token)
    } catch (error) {
      if (planned !== this.#planned) return
      this.#failed(error)
      if (left > LAST) this.#in(left / 2, left)
    }
  }
}
