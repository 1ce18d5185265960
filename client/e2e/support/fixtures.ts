// What the end-to-end tests start from. The rule: a test owns its edges, hops and pages, and all of them end with it.

import { test as base } from '@playwright/test'
import { type Edge, startEdge } from '../../test/support/edge'
import { CountsPage } from './counts-page'
import { type Hop, startHop } from './hop'

export { expect } from '@playwright/test'

interface Fixtures {
  /** Starts an edge that allows the page's origin, in development mode unless `env` says otherwise. */
  start: (env?: Record<string, string>) => Promise<Edge>
  /** An edge in development mode. */
  edge: Edge
  /** Starts a hop to an edge. */
  hop: (edge: Edge) => Promise<Hop>
  counts: CountsPage
}

export const test = base.extend<Fixtures>({
  // biome-ignore lint/correctness/noEmptyPattern: the runner reads from the pattern which fixtures this one needs
  start: async ({}, use) => {
    const edges: Edge[] = []
    await use(async (env = {}) => {
      const edge = await startEdge({ env: { ANALYTICS_ALLOWED_ORIGINS: pageOrigin(), ...env } })
      edges.push(edge)
      return edge
    })
    for (const edge of edges) await edge.stop()
  },
  edge: async ({ start }, use) => use(await start()),
  // biome-ignore lint/correctness/noEmptyPattern: as above
  hop: async ({}, use) => {
    const hops: Hop[] = []
    await use(async edge => {
      const hop = await startHop(new URL(edge.httpUrl).host)
      hops.push(hop)
      return hop
    })
    for (const hop of hops) await hop.stop()
  },
  counts: async ({ page }, use) => use(new CountsPage(page, pageOrigin())),
})

function pageOrigin(): string {
  const origin = process.env.COUNTS_PAGE
  if (origin === undefined) throw new Error('the page is not served: run the tests with this folder’s configuration')
  return origin
}
