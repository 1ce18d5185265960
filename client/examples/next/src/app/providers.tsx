'use client'
// The client that all hooks share. The rule: it is made once for a browser; while it has no socket it asks this app's own
// route, which outlives any one edge.

import { createAnalyticsClient } from '@analytics-edge/client'
import { AnalyticsProvider } from '@analytics-edge/client/react'
import { type ReactNode, useState } from 'react'

// A visitor's own machine is no edge: in production a missing address is an error that says so.
const development = process.env.NODE_ENV !== 'production'

export function Providers({ children }: { children: ReactNode }) {
  const [client] = useState(() =>
    createAnalyticsClient({
      url:
        process.env.NEXT_PUBLIC_WS_URL ||
        (development ? 'ws://localhost:3001/analytics' : 'NEXT_PUBLIC_WS_URL is not set'),
      pollUrl: '/api/analytics/content',
    }),
  )
  return <AnalyticsProvider client={client}>{children}</AnalyticsProvider>
}
