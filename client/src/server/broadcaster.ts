// Counting from a server. The rule: one call of a function here is one logical count, under one Idempotency-Key, however
// many attempts it takes; so it counts once or, where the error says so, perhaps.

import type { BatchAnswer, TriggerAnswer } from '../http.gen'
import type { Field } from '../types'
import type { Code } from '../wire.gen'
import { HTTP_STATUS } from '../wire.gen'
import { addresses, apiToken, type CallOptions, loggerOf, patience } from './config'
import { BroadcastError } from './error'
import { type Answer, type Outcome, objectOf, reasonOf, repeat } from './repeat'

/** What {@link createBroadcaster} takes. */
export interface BroadcasterOptions extends CallOptions {
  /** The base address of the edge's HTTP: `https://edge.example.com`. */
  url: string
  /** Called once for every count; the token needs `analytics:write`. */
  getToken?: (() => string | null | undefined | Promise<string | null | undefined>) | undefined
}

/** One increment. */
export interface UpdateInput {
  contentId: string
  field: Field
  /** An integer from −1 000 000 000 to 1 000 000 000, not 0; by default 1. */
  increment?: number | undefined
  /** Whose counter; left out, the token's. */
  organizationId?: string | undefined
  /** Only beside an organization, named here or by the token. */
  clientId?: string | undefined
}

/** Of a single call. */
export interface TriggerOptions {
  /** 1 to 128 visible ASCII characters; by default a random one. Give one that your own event has, and it counts once. */
  idempotencyKey?: string | undefined
}

/** Counts, and does not return before the edge has said that it did. */
export interface Broadcaster {
  /**
   * Adds to one field of a content; everybody who watches it sees the new count.
   *
   * @returns the counter's value after it
   * @throws BroadcastError
   */
  triggerRealUpdate(
    contentId: string,
    field: Field,
    increment?: number,
    organizationId?: string,
    clientId?: string,
    options?: TriggerOptions,
  ): Promise<TriggerAnswer>
  /**
   * Adds 1 to 100 increments in one call. Each stands or falls alone: look at `success` of each result.
   *
   * @throws BroadcastError where no answer to the whole came
   */
  triggerRealUpdates(updates: readonly UpdateInput[], options?: TriggerOptions): Promise<BatchAnswer>
}

/**
 * A broadcaster for one edge. What failed on the way is repeated: no answer, 429, 502, 503 and 504, with backoff, and not
 * before the time that `Retry-After` names.
 *
 * @throws BroadcastError `configuration` for options that cannot be
 */
export function createBroadcaster(options: BroadcasterOptions): Broadcaster {
  const [base] = addresses(options.url)
  const bounds = patience(options)
  const logger = loggerOf(options)

  const post = async (body: unknown, key: string, again: (answer: Answer) => boolean): Promise<Outcome> => {
    const request = {
      method: 'POST',
      headers: await headersOf(options, key),
      body: JSON.stringify(body),
      // Followed, a redirect would turn into a GET, and its answer into one that nothing was asked of.
      redirect: 'manual',
      cache: 'no-store',
    } as const
    const call = (signal: AbortSignal) =>
      (options.fetch ?? fetch)(`${base}/api/analytics/trigger-update`, { ...request, signal })
    return repeat(call, bounds, again, (why, wait) =>
      logger?.info(`analytics: the edge ${why}; the count is sent again in ${Math.round(wait)} ms`),
    )
  }

  return {
    async triggerRealUpdate(contentId, field, increment = 1, organizationId, clientId, trigger) {
      const key = trigger?.idempotencyKey ?? crypto.randomUUID()
      const update: UpdateInput = { contentId, field, increment, organizationId, clientId }
      const outcome = await post(update, key, answer => answer.status === 200 && !triggered(answer))
      const answer = settled(outcome) && triggered(outcome.last)
      if (answer) return answer
      throw failure(outcome, key)
    },

    async triggerRealUpdates(updates, trigger) {
      const key = trigger?.idempotencyKey ?? crypto.randomUUID()
      let partial: BatchAnswer | undefined
      const outcome = await post({ updates }, key, answer => {
        const batch = answer.status === 200 ? counted(answer) : undefined
        partial = batch ?? partial
        // The key stands for each place in the batch, so what was counted is not counted again.
        return answer.status === 200 && (batch === undefined || batch.results.some(unfinished))
      })
      // What an earlier attempt was told beats the silence of the last one.
      if (partial) return partial
      throw failure(outcome, key)
    },
  }
}

/**
 * The broadcaster of `ANALYTICS_API_URL` and `ANALYTICS_API_TOKEN`, read at each call. Without an address it takes
 * `http://localhost:3001` in development, and in production every call fails with `configuration`.
 */
export const analyticsBroadcaster: Broadcaster = {
  triggerRealUpdate: async (...call) => ofEnvironment().triggerRealUpdate(...call),
  triggerRealUpdates: async (...call) => ofEnvironment().triggerRealUpdates(...call),
}

function ofEnvironment(): Broadcaster {
  // Counts go to the first of several addresses: a key is known only to the store that counted under it.
  const [url] = addresses(undefined)
  return createBroadcaster({ url, getToken: apiToken })
}

async function headersOf({ getToken }: BroadcasterOptions, idempotencyKey: string): Promise<Headers> {
  // Refused here as the edge would: what cannot stand in a header would look like a network that fails.
  if (!/^[!-~]{1,128}$/.test(idempotencyKey)) {
    throw new BroadcastError('invalid_field', 'idempotencyKey must be 1 to 128 characters from ! to ~')
  }
  const headers = new Headers({ 'content-type': 'application/json', 'idempotency-key': idempotencyKey })
  try {
    const token = await getToken?.()
    if (token) headers.set('authorization', `Bearer ${token}`)
  } catch (cause) {
    throw new BroadcastError('token', 'getToken gave no token, nothing was sent', { idempotencyKey, cause })
  }
  return headers
}

function settled(outcome: Outcome): outcome is Outcome & { last: Answer } {
  return !(outcome.last instanceof Error) && outcome.last.status === 200
}

function triggered(answer: Answer): TriggerAnswer | undefined {
  const body = objectOf(answer)
  return isTriggerAnswer(body) ? body : undefined
}

function counted(answer: Answer): BatchAnswer | undefined {
  const body = objectOf(answer)
  return isBatchAnswer(body) ? body : undefined
}

function isTriggerAnswer(body: object | undefined): body is TriggerAnswer {
  const answer: Partial<Record<keyof TriggerAnswer, unknown>> = body ?? {}
  return answer.success === true && typeof answer.value === 'number' && typeof answer.version === 'number'
}

function isBatchAnswer(body: object | undefined): body is BatchAnswer {
  const answer: Partial<Record<keyof BatchAnswer, unknown>> = body ?? {}
  return answer.success === true && Array.isArray(answer.results)
}

/** Members that a repeat can still bring to an end. */
function unfinished(result: BatchAnswer['results'][number]): boolean {
  return !result.success && (result.code === 'unavailable' || result.code === 'outcome_unknown')
}

function failure({ last, unknown }: Outcome, idempotencyKey: string): BroadcastError {
  if (last instanceof Error) {
    const text = `the edge gave no answer (${reasonOf(last)})`
    return new BroadcastError('network', text, { counted: 'unknown', idempotencyKey, cause: last })
  }
  const { status } = last
  const body = objectOf(last)
  if (body === undefined || !isCode(body.code)) {
    const text = `what answered with ${status} is not the edge; does its address lead there?`
    return new BroadcastError('network', text, { status, counted: unknown ? 'unknown' : 'no', idempotencyKey })
  }
  // A count that left its range was looked up under its key: no earlier attempt counted either.
  const known = body.code === 'out_of_range' || !unknown
  return new BroadcastError(body.code, String(body.error), {
    status,
    counted: known ? 'no' : 'unknown',
    idempotencyKey,
  })
}

function isCode(code: unknown): code is Code {
  return typeof code === 'string' && Object.hasOwn(HTTP_STATUS, code)
}
