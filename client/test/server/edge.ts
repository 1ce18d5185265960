// What the tests of counting share. The rule: whether a count is exact is asked of the edge itself, past every hop.

import { onTestFinished } from 'vitest'
import type { ContentAnswer } from '../../src/http.gen'
import type { Edge } from '../support/edge'
import { type Hop, startHop } from '../support/hop'

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
