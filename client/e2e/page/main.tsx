// The page under test: the hook, and everything it says, as text. The rule: it uses the package as an application does, by
// its public entries.

import { createAnalyticsClient } from '@analytics-edge/client'
import { AnalyticsProvider, useRealTimeAnalytics } from '@analytics-edge/client/react'
import { StrictMode, useEffect } from 'react'
import { createRoot } from 'react-dom/client'
import { noteStatus, noteViews, RecordedSocket, record } from './record'
import { fromSearch, type Settings } from './settings'

const settings = fromSearch(location.search)

const client = createAnalyticsClient({
  url: settings.url,
  pollUrl: settings.pollUrl,
  releaseDelay: settings.releaseDelay,
  WebSocket: RecordedSocket,
  getToken: settings.token ? getToken : undefined,
})

async function getToken({ reason }: { reason: string }): Promise<string> {
  record.tokens.push(reason)
  if (!window.mintToken) throw new Error('the test mints no tokens')
  return window.mintToken(reason)
}

function Counts({ ids, organizationId, clientId, interval }: Settings) {
  const { data, status, source, isStale, error, refetch, reconnect } = useRealTimeAnalytics({
    contentIds: ids,
    organizationId,
    clientId,
    interval,
    onUpdate: () => record.updates++,
  })
  record.renders++
  useEffect(() => {
    noteStatus(status, source)
    for (const id of ids) {
      const counts = data[id]
      if (counts) noteViews(id, counts.views)
    }
  }, [ids, data, status, source])
  return (
    <section>
      <p data-testid="status">{status}</p>
      <p data-testid="source">{source ?? 'none'}</p>
      <p data-testid="stale">{isStale ? 'stale' : 'fresh'}</p>
      <p data-testid="error">{error ? `${error.code}: ${error.message}` : 'none'}</p>
      <ul>
        {ids.map(id => (
          <li key={id}>
            {id}: <span data-testid={`views ${id}`}>{data[id]?.views ?? 'unknown'}</span> views,{' '}
            <span data-testid={`likes ${id}`}>{data[id]?.likes ?? 'unknown'}</span> likes
          </li>
        ))}
      </ul>
      <button type="button" onClick={() => void refetch()}>
        Refetch
      </button>
      <button type="button" onClick={reconnect}>
        Reconnect
      </button>
    </section>
  )
}

const root = document.getElementById('root')
if (!root) throw new Error('the page has no root')
const sections = Array.from({ length: settings.hooks ?? 1 }, (_, index) => index)
const page = (
  <AnalyticsProvider client={client}>
    {sections.map(section => (
      <Counts key={section} {...settings} />
    ))}
  </AnalyticsProvider>
)
createRoot(root).render(settings.strict ? <StrictMode>{page}</StrictMode> : page)
