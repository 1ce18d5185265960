// @vitest-environment node
// Rendering on a server. The rule: no window, no socket, no client made, and always the same markup.

import { createElement, StrictMode } from 'react'
import { renderToString } from 'react-dom/server'
import { expect, it, vi } from 'vitest'
import * as defaults from '../../src/defaults'
import { AnalyticsProvider, useAnalyticsConnection, useRealTimeAnalytics } from '../../src/react'
import type { AnalyticsClient } from '../../src/types'

function Page() {
  const { data, status, source, isLive, isStale, lastUpdatedAt, error } = useRealTimeAnalytics({
    contentIds: ['a'],
    organizationId: 'acme',
    onUpdate: () => {},
  })
  const connection = useAnalyticsConnection()
  const shown = { data, status, source, isLive, isStale, lastUpdatedAt, error, connection: connection.status }
  return <pre>{JSON.stringify(shown)}</pre>
}

const MARKUP = `<pre>${JSON.stringify({
  data: {},
  status: 'idle',
  source: null,
  isLive: false,
  isStale: false,
  lastUpdatedAt: null,
  error: null,
  connection: 'idle',
}).replaceAll('"', '&quot;')}</pre>`

it('happens without a window, a provider and a client', () => {
  expect(typeof window).toBe('undefined')
  const made = vi.spyOn(defaults, 'defaultClient')
  expect(renderToString(createElement(StrictMode, null, <Page />))).toBe(MARKUP)
  expect(made).not.toHaveBeenCalled()
})

it('touches nothing of a client that is provided', () => {
  const untouchable = new Proxy({} as AnalyticsClient, {
    get: (_, name) => {
      throw new Error(`${String(name)} was used while a server rendered`)
    },
  })
  const page = (
    <AnalyticsProvider client={untouchable}>
      <Page />
    </AnalyticsProvider>
  )
  expect(renderToString(page)).toBe(MARKUP)
})
