// Asking by HTTP. The rule: the addresses are tried in order and one answer is enough; a token that is refused is renewed
// once, and nothing is asked while nobody looks.

import { answerError, createError } from './error'
import type { Tokens } from './tokens'
import type { AnalyticsError, Scope } from './types'
import { type ContentAnswer, parseContent } from './wire'

/** How many ids one call may name. */
const IDS_PER_CALL = 100
/** How long an answer may take, in milliseconds. */
const DEADLINE = 10_000

/** Why there is no answer: `status` is 0 where nothing came at all, `retryAfter` in milliseconds. */
export interface Unanswered {
  answer?: undefined
  status: number
  retryAfter: number
  error: AnalyticsError
}

export type Polled = { answer: ContentAnswer; error?: undefined } | Unanswered

export interface Poller {
  /** One call to one address, for at most {@link IDS_PER_CALL} ids. */
  ask(url: string, ids: readonly string[], token: string | null): Promise<Polled>
  /** Everything, from the first address that answers. `take` gets each part as it comes; the last failure is returned. */
  askAll(ids: readonly string[], take: (answer: ContentAnswer) => void): Promise<Unanswered | null>
}

export function createPoller(
  urls: readonly string[],
  scope: Scope,
  tokens: Tokens,
  fetch: typeof globalThis.fetch,
): Poller {
  const ask: Poller['ask'] = async (url, ids, token) => {
    const query = new URLSearchParams(ids.slice(0, IDS_PER_CALL).map(id => ['id', id]))
    if (scope.organizationId) query.set('organizationId', scope.organizationId)
    if (scope.clientId) query.set('clientId', scope.clientId)
    try {
      const response = await fetch(`${url}${url.includes('?') ? '&' : '?'}${query}`, {
        headers: token ? { authorization: `Bearer ${token}` } : {},
        cache: 'no-store',
        signal: AbortSignal.timeout(DEADLINE),
      })
      const body: unknown = await response.json().catch(() => null)
      const answer = response.ok ? parseContent(body) : null
      if (answer) return { answer }
      const retryAfter = Number(response.headers.get('retry-after')) * 1000 || 0
      return { status: response.status, retryAfter, error: answerError(response.status, body) }
    } catch (error) {
      // A browser tells a page nothing more, neither of a dead edge nor of an origin that the edge does not allow.
      return { status: 0, retryAfter: 0, error: createError('network', `${url} does not answer this page (${error})`) }
    }
  }

  return {
    ask,
    async askAll(ids, take) {
      let failed: Unanswered | null = null
      let token = tokens.current
      let renewed = false
      // The address that answered, so that one which hangs is waited for once a round.
      let at = 0
      for (let from = 0; from < ids.length; from += IDS_PER_CALL) {
        failed = null
        for (; at < urls.length; at++) {
          const url = urls[at] ?? ''
          const part = ids.slice(from, from + IDS_PER_CALL)
          let polled = await ask(url, part, token)
          if (polled.error && polled.status === 401 && !renewed && tokens.renewable) {
            renewed = true
            token = await tokens.get('expired').catch(() => token)
            polled = await ask(url, part, token)
          }
          failed = polled.error ? polled : null
          if (!polled.error) {
            take(polled.answer)
            break
          }
        }
        if (failed) return failed
      }
      return failed
    },
  }
}
