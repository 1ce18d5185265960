// A fresh token before the old one ends, on the same connection. The rule: a failure is tried again while there is time; after
// that the edge ends the connection, and the way back asks for a fresh token too.

import type { Tokens } from './tokens'

/** A token is renewed so long before its end, in milliseconds, or at a tenth of its time if that is less. */
const BEFORE = 60_000
/** No more tries when less than this is left, in milliseconds. */
const LAST = 1_000
/** The longest time that a timer can wait for, in milliseconds. */
const LONGEST_TIMER = 2 ** 31 - 1

export class Renewal {
  #timer: ReturnType<typeof setTimeout> | undefined
  /** A renewal that was planned before `stop` is dropped. */
  #planned = 0
  readonly #tokens: Tokens
  readonly #renewed: (token: string) => void
  readonly #failed: (error: unknown) => void

  constructor(tokens: Tokens, renewed: (token: string) => void, failed: (error: unknown) => void) {
    this.#tokens = tokens
    this.#renewed = renewed
    this.#failed = failed
  }

  /** Plans the renewal of a token that ends then, in milliseconds since the epoch; null plans none. */
  plan(expiresAt: number | null): void {
    this.stop()
    if (expiresAt === null || !this.#tokens.renewable) return
    const left = expiresAt - Date.now()
    this.#in(left - Math.min(BEFORE, left / 10), expiresAt)
  }

  stop(): void {
    this.#planned++
    clearTimeout(this.#timer)
  }

  #in(wait: number, expiresAt: number): void {
    this.#timer = setTimeout(() => void this.#renew(expiresAt), Math.min(Math.max(wait, 0), LONGEST_TIMER))
  }

  async #renew(expiresAt: number): Promise<void> {
    const planned = this.#planned
    try {
      const token = await this.#tokens.get('expired')
      if (token && planned === this.#planned) this.#renewed(token)
    } catch (error) {
      if (planned !== this.#planned) return
      this.#failed(error)
      const left = expiresAt - Date.now()
      if (left > LAST) this.#in(left / 2, expiresAt)
    }
  }
}
