// The client of a page that provides none. The rule: its settings are read when it is first needed, from names that bundlers
// replace by their values; so each stands here in full.

import { createAnalyticsClient } from './client'
import { fromEnvironment, isDevelopment } from './options'
import type { AnalyticsClient, Scope } from './types'

const LOCAL = 'ws://localhost:3001/analytics'

let client: AnalyticsClient | undefined

/**
 * The client to the edge at `NEXT_PUBLIC_WS_URL`; in development by default the one of `infra/run-local`. In production
 * without it the client is `failed`: a visitor's own machine is no edge.
 */
export function defaultClient(): AnalyticsClient {
  client ??= createAnalyticsClient({
    url: websocketUrl() || (isDevelopment() ? LOCAL : 'NEXT_PUBLIC_WS_URL, which is not set'),
  })
  return client
}

/** `NEXT_PUBLIC_ORGANIZATION_ID` and `NEXT_PUBLIC_CLIENT_ID`; an empty one is as good as none. */
export function defaultScope(): Scope {
  const organizationId = fromEnvironment(() => process.env.NEXT_PUBLIC_ORGANIZATION_ID)
  const clientId = fromEnvironment(() => process.env.NEXT_PUBLIC_CLIENT_ID)
  return { ...(organizationId && { organizationId }), ...(clientId && { clientId }) }
}

const websocketUrl = () => fromEnvironment(() => process.env.NEXT_PUBLIC_WS_URL)
