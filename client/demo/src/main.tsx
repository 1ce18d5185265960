// The dashboard's start. The rule: what lives as long as the page is made here, once, and handed down.

import { createAnalyticsClient } from '@analytics-edge/client'
import { AnalyticsProvider } from '@analytics-edge/client/react'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { Dashboard } from './Dashboard'
import { edgeUrls } from './edge'
import { createJournal } from './journal'
import { createLine } from './line'
import './styles/base.css'
import './styles/layout.css'
import './styles/state.css'
import './styles/panels.css'
import './styles/cards.css'
import './styles/chart.css'

const other = import.meta.env.DEV ? new URLSearchParams(location.search).get('edge') : null
const urls = edgeUrls(location, other)
const line = createLine()
const journal = createJournal()
const client = createAnalyticsClient({ url: urls.socket, WebSocket: line.WebSocket, logger: journal })

const root = document.getElementById('root')
if (root) {
  createRoot(root).render(
    <StrictMode>
      <AnalyticsProvider client={client}>
        <Dashboard api={urls.api} line={line} journal={journal} />
      </AnalyticsProvider>
    </StrictMode>,
  )
}
