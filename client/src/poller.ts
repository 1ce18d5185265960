// Asking by HTTP. The rule: the addresses are tried in order and one answer is enough; a token that is refused is renewed
// once, and nothing is asked while nobody looks.

import { answerError, createError } from './error'
import { retryAfter } from './retry-after'
import type { Tokens } from './tokens'
import type { AnalyticsError, Scope } from './types'
import { parseContent, type ReadContent } from './wire'

/** How many ids one call may name, and in how many characters of an address: servers refuse long ones, some above 8 KB. */
const IDS_PER_CALL = 100
const CHARACTERS_PER_CALL = 4_000
/** How long an answer may take, in milliseconds. */
const DEADLINE = 10_000

/** Why there is no answer: `status` is 0 where nothing came at all, `retryAfter` in milliseconds. */
export interface Unanswered {
  answer?: undefined
  status: number
  retryAfter: number
  error: AnalyticsError
}

export type Polled = { answer: ReadContent; error?: undefined } | Unanswered

export interface Poller {
  /** One call to one address, for as many of the ids as fit. */
  ask(url: string, ids: readonly string[], token: string | null): Promise<Polled>
  /** Everything, from the first address that answers. `take` gets each part as it comes; the last failure is returned. */
  askAll(ids: readonly string[], take: (answer: ReadContent) => void): Promise<Unanswered | null>
}

export function createPoller(
  urls: readonly string[],
  scope: Scope,
  tokens: Tokens,
  fetch: typeof globalThis.fetch,
): Poller {
  // The address that answered last is asked first, so that one which hangs is not waited for in every call.
  let at = 0

  const ask: Poller['ask'] = async (url, ids, token) => {
    const query = new URLSearchParams(fitting(ids).map(id => ['id', id]))
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
      const { status, headers } = response
      return { status, retryAfter: retryAfter(headers), error: answerError(status, body) }
    } catch (error) {
      // A browser tells a page nothing more, neither of a dead edge nor of an origin that the edge does not allow.
      return { status: 0, retryAfter: 0, error: createError('network', `${url} does not answer this page (${error})`) }
    }
  }

  return {
    ask,
    async askAll(ids, take) {
      let token = tokens.current
      let renewed = false
      for (let rest = ids; rest.length > 0; ) {
        const part = fitting(rest)
        let failed: Unanswered | null = null
        for (let tries = 0; tries < urls.length; tries++) {
          const url = urls[at] ?? ''
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
          at = (at + 1) % urls.length
        }
        if (failed) return failed
        rest = rest.slice(part.length)
      }
      return null
    },
  }
}

/** As many of the ids, from the first, as one call takes. */
function fitting(ids: readonly string[]): readonly string[] {
  let characters = 0
  const end = ids.findIndex((id, index) => {
    characters += encodeURIComponent(id).length + 4
    return index > 0 && (index >= IDS_PER_CALL || characters > CHARACTERS_PER_CALL)
  })
  return end < 0 ? ids : ids.slice(0, end)
}
