// The edge's HTTP calls at the platform's own address, for pages that cannot reach an edge. The rule: what is the
// contract's goes through, in both directions, and nothing else does: no cookie, no other path, no answer of a stranger.

import type { Code, ErrorBody } from '../wire.gen'
import { HTTP_STATUS } from '../wire.gen'
import { addresses, type CallOptions, loggerOf, patience } from './config'
import { BroadcastError } from './error'
import { type Answer, attempt, failedOver, objectOf, reasonOf, repeat } from './repeat'
import { readBody } from './request'

/** The largest body, in bytes: the edge's own default. */
const MAX_BODY = 1_048_576

/** What of an answer reaches the caller beside its status and body. */
const PASSED = ['content-type', 'retry-after', 'idempotency-replayed', 'www-authenticate', 'allow']

/** The calls under `/api/analytics/`, with the methods that each knows. */
const CALLS: Readonly<Record<string, readonly string[]>> = {
  content: ['GET', 'HEAD'],
  'performance-config': ['GET', 'HEAD'],
  'trigger-update': ['GET', 'HEAD', 'POST'],
}

/** What {@link analyticsRoute} takes. */
export interface RouteOptions extends CallOptions {
  /**
   * The base address of the edge's HTTP, or several separated by commas: what is read is asked of each in order until one
   * answers, what is counted goes to the first. By default `ANALYTICS_API_URL`, read at each call.
   */
  url?: string | undefined
  /**
   * The token of a request, instead of the caller's own `Authorization`, which then goes nowhere; without a token the
   * call is made without one. Whoever calls sees what it shows; nothing can be counted with it unless {@link authorize}
   * admits the request.
   */
  getToken?: ((request: Request) => string | null | undefined | Promise<string | null | undefined>) | undefined
  /** Whether a request may count. Required beside {@link getToken}: a token of the server's would count for anybody. */
  authorize?: ((request: Request) => boolean | Promise<boolean>) | undefined
}

/** Handlers in the shape of Next's app router; any server that speaks `Request` and `Response` can call them. */
export interface RouteHandlers {
  GET: (request: Request) => Promise<Response>
  POST: (request: Request) => Promise<Response>
}

/**
 * Handlers for `app/api/analytics/[...path]/route.ts`: `export const { GET, POST } = analyticsRoute()`.
 *
 * A POST without an `Idempotency-Key` gets one here, and is repeated under it. Without `getToken` a call carries the token
 * of its caller and no other, so the route opens nothing that the edge would not. It adds no CORS headers: pages of other
 * origins ask the edge.
 */
export function analyticsRoute(options: RouteOptions = {}): RouteHandlers {
  const answer = async (request: Request): Promise<Response> => {
    try {
      const path = /\/api\/analytics\/([^/]+)\/?$/.exec(new URL(request.url).pathname)?.[1] ?? ''
      const methods = Object.hasOwn(CALLS, path) ? CALLS[path] : undefined
      if (methods === undefined) return refusal('not_found', 'nothing lives at this path')
      if (!methods.includes(request.method)) {
        const allow = methods.join(', ')
        return refusal('method_not_allowed', `the method must be one of ${allow}`, { allow })
      }
      return await (request.method === 'POST' ? count(request, path, options) : read(request, path, options))
    } catch (error) {
      const text = error instanceof BroadcastError ? error.message : 'the call could not be made'
      loggerOf(options)?.warn(`analytics: ${request.method} ${new URL(request.url).pathname} failed: ${text}`, error)
      return refusal('internal', text)
    }
  }
  return { GET: answer, POST: answer }
}

async function read(request: Request, path: string, options: RouteOptions): Promise<Response> {
  const { timeout } = patience(options)
  const logger = loggerOf(options)
  const { headers, search } = await outgoing(request, options)
  let last: Answer | undefined
  for (const base of addresses(options.url)) {
    const call = (signal: AbortSignal) => ask(`${base}/api/analytics/${path}${search}`, { headers, signal }, options)
    const answer = await attempt(call, timeout)
    if (!(answer instanceof Error) && objectOf(answer)) last = answer
    if (last === answer && !failedOver(answer)) break
    logger?.info(`analytics: ${base} ${reasonOf(answer)}`)
  }
  if (last) return passed(last, request.method === 'HEAD')
  return refusal('unavailable', 'no edge answered', { 'retry-after': '1' })
}

async function count(request: Request, path: string, options: RouteOptions): Promise<Response> {
  if (options.getToken && !options.authorize) {
    return refusal('forbidden', 'this route has a token of its own and no authorize to say who may count with it')
  }
  if (options.authorize && !(await options.authorize(request))) {
    return refusal('forbidden', 'this request may not count')
  }
  const body = await readBody(request, MAX_BODY)
  if (body === undefined) return refusal('too_large', `the body must be at most ${MAX_BODY} bytes`)
  const { headers, search } = await outgoing(request, options)
  headers.set('idempotency-key', request.headers.get('idempotency-key') ?? crypto.randomUUID())
  const declared = request.headers.get('content-type')
  if (declared !== null) headers.set('content-type', declared)
  const logger = loggerOf(options)
  const [base] = addresses(options.url)
  const { last, unknown } = await repeat(
    signal => ask(`${base}/api/analytics/${path}${search}`, { method: 'POST', headers, body, signal }, options),
    patience(options),
    answer => answer.status < 300 && objectOf(answer) === undefined,
    (why, wait) => logger?.info(`analytics: ${base} ${why}; the count is sent again in ${Math.round(wait)} ms`),
  )
  const code = last instanceof Error ? undefined : objectOf(last)?.code
  const ours = !(last instanceof Error) && objectOf(last) !== undefined
  // Found under their key, these two say what became of every attempt; any other refusal speaks for its own only.
  const final = ours && (last.status === 200 || code === 'out_of_range' || code === 'idempotency_mismatch')
  if (ours && (final || !unknown)) return passed(last, false)
  if (unknown) return refusal('outcome_unknown', 'no answer that says whether it was counted')
  return refusal('unavailable', 'no edge answered', { 'retry-after': '1' })
}

/** What of a request goes to the edge beside its body: the token, and what the query asks for. */
async function outgoing(request: Request, { getToken }: RouteOptions): Promise<{ headers: Headers; search: string }> {
  const headers = new Headers({ accept: 'application/json' })
  const query = new URL(request.url).searchParams
  if (getToken) {
    const token = await getToken(request)
    if (token) headers.set('authorization', `Bearer ${token}`)
    query.delete('token')
  } else {
    const authorization = request.headers.get('authorization')
    // A site behind a password of its own has another kind there, which is not the edge's to know.
    if (authorization?.startsWith('Bearer ')) headers.set('authorization', authorization)
  }
  const search = query.toString()
  return { headers, search: search && `?${search}` }
}

function ask(url: string, init: RequestInit, options: RouteOptions): Promise<Response> {
  // A redirect is nobody's answer, and frameworks that keep what `fetch` got must not keep counts.
  return (options.fetch ?? fetch)(url, { ...init, redirect: 'manual', cache: 'no-store', credentials: 'omit' })
}

function passed(answer: Answer, head: boolean): Response {
  const headers = new Headers({ 'cache-control': 'no-store' })
  for (const name of PASSED) {
    const value = answer.headers.get(name)
    if (value !== null) headers.set(name, value)
  }
  return new Response(head ? null : answer.body, { status: answer.status, headers })
}

function refusal(code: Code, error: string, headers: Record<string, string> = {}): Response {
  const body: ErrorBody = { success: false, error, code }
  return Response.json(body, { status: HTTP_STATUS[code] ?? 500, headers: { 'cache-control': 'no-store', ...headers } })
}
