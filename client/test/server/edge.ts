// What the tests of counting share. The rule: whether a count is exact is asked of the edge itself, past every hop.

import { onTestFinished } from 'vitest'
import type { ContentAnswer } from '../../src/http.gen'
import { BroadcastError } from '../../src/server'
import type { Edge } from '../support/edge'
import { type Fault, type Hop, startHop } from '../support/hop'

let contents = 0

/** A content that no other test counts. */
export const fresh = () => `content-${++contents}`

/** What the edge says of a public content, or of one in a token's scope. */
export async function counterOf(edge: Edge, contentId: string, token?: string) {
  const url = `${edge.httpUrl}/api/analytics/content?id=${encodeURIComponent(contentId)}`
  const response = await fetch(url, { headers: token ? { authorization: `Bearer ${token}` } : {} })
  const { content }: ContentAnswer = await response.json()
  const [counter, ...others] = content
  if (counter === undefined || others.length > 0) throw new Error(`one counter was expected of ${contentId}`)
  return counter
}

/** A hop before the edge that ends with the test. */
export async function hopTo(edge: Edge): Promise<Hop> {
  const hop = await startHop(edge.httpUrl)
  onTestFinished(() => hop.close())
  return hop
}

/** The keys that the hop saw, each once. */
export const keysAt = (hop: Hop) => [...new Set(hop.seen.map(({ headers }) => headers['idempotency-key']))]

/** A refusal of this code with status 503, made up on the way. */
export const error = (code: string, retryAfter?: string): Fault => ({
  status: 503,
  headers: retryAfter === undefined ? {} : { 'retry-after': retryAfter },
  body: JSON.stringify({ success: false, error: 'told so', code }),
})

/** Far more than one attempt of a healthy edge takes, far less than a test may. */
export const PATIENT = { attempts: 30, timeout: 2_000, totalTimeout: 50_000, logger: null }

/** The error of a call that must fail. */
export const refused = async (call: Promise<unknown>): Promise<BroadcastError> => {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error instanceof BroadcastError) return error
  throw new Error(`a BroadcastError was expected, not ${error}`)
}
