// The page. The rule: it only puts together; what it shows comes from one hook, and each part draws one thing.

import type { ContentAnalytics, Update } from '@analytics-edge/client'
import { useRealTimeAnalytics } from '@analytics-edge/client/react'
import { useMemo } from 'react'
import { Actions } from './Actions'
import { Cards } from './Cards'
import { Chart } from './Chart'
import { ConnectionBadge } from './ConnectionBadge'
import { Controls } from './Controls'
import { connectionWords } from './connectionWords'
import { Events } from './Events'
import { Figures } from './Figures'
import type { Journal } from './journal'
import type { Line } from './line'
import { Session } from './session'
import { Trending } from './Trending'
import { useContentTypes } from './useContentTypes'
import { useCounting } from './useCounting'
import { useEdgeStatus } from './useEdgeStatus'
import { useSampling } from './useSampling'
import { useSettings } from './useSettings'

export interface DashboardProps {
  /** What the edge's HTTP calls begin with. */
  api: string
  line: Line
  journal: Journal
}

export function Dashboard({ api, line, journal }: DashboardProps) {
  const [settings, change] = useSettings()
  const { ids, organizationId, clientId, simulate } = settings
  const types = useContentTypes(api)

  const session = useMemo(
    () => new Session({ ids, organizationId, clientId, simulate }, Date.now()),
    [ids, organizationId, clientId, simulate],
  )
  const analytics = useRealTimeAnalytics({
    contentIds: ids,
    organizationId: organizationId || undefined,
    clientId: clientId || undefined,
    contentTypes: types.includes(settings.type) ? settings.type : undefined,
    enabled: settings.enabled,
    interval: settings.interval,
    simulateUpdates: simulate,
    onUpdate: (update: Update) => session.meter.add(update, Date.now()),
  })
  const data: Readonly<Record<string, ContentAnalytics | undefined>> = analytics.data
  const current = analytics.isLive || analytics.source === 'simulated'
  useSampling(session, data, current)
  const status = useEdgeStatus(api, analytics.isLive)
  const counting = useCounting(api, session, journal)
  const words = connectionWords({
    status: analytics.status,
    source: analytics.source,
    error: analytics.error?.message ?? null,
    enabled: settings.enabled,
    watched: ids.length,
    simulate,
  })

  return (
    <>
      <header className="top">
        <h1>
          <svg className="mark" viewBox="0 0 24 24" aria-hidden="true">
            <path d="M2 13h5l3-8 4 14 3-6h5" />
          </svg>
          Live counts
        </h1>
        <ConnectionBadge
          words={words}
          line={line}
          lastValueAt={analytics.lastUpdatedAt}
          canReconnect={settings.enabled && !simulate && ids.length > 0 && analytics.status !== 'live'}
          reconnect={analytics.reconnect}
        />
      </header>
      <main>
        <Actions ids={ids} line={line} counting={counting} journal={journal} canDrop={analytics.isLive} />
        <Figures session={session} status={status} />
        <div className="columns">
          <div className="column">
            <Cards session={session} data={data} stale={analytics.isStale} send={counting.send} change={change} />
            <Chart
              key={`${session.since} ${ids.join(' ')}`}
              recorder={session.recorder}
              metric={settings.metric}
              change={change}
            />
          </div>
          <div className="column">
            <Trending recorder={session.recorder} data={data} />
            <Controls settings={settings} types={types} change={change} />
            <Events journal={journal} />
          </div>
        </div>
      </main>
    </>
  )
}
