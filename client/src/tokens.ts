// Tokens. The rule: several needs at once are one call of the application's `getToken`, and a token is never kept longer
// than until the next need.

import { createError } from './error'
import type { ClientOptions, TokenContext } from './types'

/** How long `getToken` may take, in milliseconds; the way back must not hang on it. */
const DEADLINE = 30_000
/** What may stand after `Bearer` (RFC 6750 §2.1), and is a subprotocol too. */
const TOKEN = /^[\w.~+/=-]+$/

export class Tokens {
  #pending: { reason: TokenContext['reason']; token: Promise<string | null> } | null = null
  /** The token that came last. */
  current: string | null = null

  readonly #getToken: ClientOptions['getToken']

  constructor(getToken: ClientOptions['getToken']) {
    this.#getToken = getToken
  }

  /** Whether there is somebody to ask for a fresh one. */
  get renewable(): boolean {
    return this.#getToken !== undefined
  }

  get(reason: TokenContext['reason']): Promise<string | null> {
    const pending = this.#pending
    // A call that is under way for a connect may still bring the token that was just refused.
    if (pending && (pending.reason === reason || pending.reason === 'expired')) return pending.token
    const token = this.#ask(reason).finally(() => {
      if (this.#pending?.token === token) this.#pending = null
    })
    this.#pending = { reason, token }
    return token
  }

  async #ask(reason: TokenContext['reason']): Promise<string | null> {
    let timer: ReturnType<typeof setTimeout> | undefined
    try {
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error(`no token within ${DEADLINE / 1000} s`)), DEADLINE)
      })
      const token = (await Promise.race([this.#getToken?.({ reason }), late])) || null
      // An error page, say: a browser would refuse to send it, and repeat it in its complaint.
      if (token !== null && !TOKEN.test(token)) throw new Error('what it gave is no token')
      this.current = token
      return token
    } catch (error) {
      throw createError('token', `getToken failed: ${error instanceof Error ? error.message : error}`)
    } finally {
      clearTimeout(timer)
    }
  }
}

/** When a JWT ends, in milliseconds since the epoch; null where that cannot be read. It is not verified here. */
export function expiryOf(token: string): number | null {
  try {
    const payload = token.split('.')[1] ?? ''
    const { exp } = JSON.parse(atob(payload.replace(/-/g, '+').replace(/_/g, '/')))
    return typeof exp === 'number' ? exp * 1000 : null
  } catch {
    return null
  }
}
