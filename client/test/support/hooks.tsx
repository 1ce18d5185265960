// What the tests of the hooks have in common. The rule: a real client at an edge in this process, and everything that a
// test starts ends with it.

import { cleanup, waitFor } from '@testing-library/react'
import type { ReactElement, ReactNode } from 'react'
import { afterEach } from 'vitest'
import { WebSocket } from 'ws'
import { createAnalyticsClient } from '../../src/index'
import { AnalyticsProvider } from '../../src/react'
import type { AnalyticsClient, ClientOptions } from '../../src/types'
import type { ClientMessage } from '../../src/wire.gen'
import { type FakeEdge, type FakeEdgeOptions, startFakeEdge } from './fake-edge'

/** How long a test waits for what should come at once, in milliseconds. */
const DEADLINE = 5_000

const ends: (() => unknown)[] = []

afterEach(async () => {
  cleanup()
  for (const end of ends.splice(0).reverse()) await end()
})

/** Has something done when the test has ended, the last first. */
export function atEnd(end: () => unknown): void {
  ends.push(end)
}

export async function anEdge(options?: FakeEdgeOptions): Promise<FakeEdge> {
  const edge = await startFakeEdge(options)
  atEnd(() => edge.stop())
  return edge
}

/**
 * The real client. The edge's thresholds never reach it: scores are computed anew when they come, once, and that would
 * be a change in the middle of a test about changes.
 */
export function aClient(edge: FakeEdge, options: Partial<ClientOptions> = {}): AnalyticsClient {
  const client = createAnalyticsClient({
    url: edge.wsUrl,
    WebSocket,
    fetch: contentOnly,
    logger: null,
    releaseDelay: 50,
    ...options,
  })
  atEnd(() => client.close())
  return client
}

const contentOnly: typeof fetch = (input, init) =>
  String(input).endsWith('/performance-config') ? new Promise(() => {}) : fetch(input, init)

/** A wrapper that provides a client. */
export function providing(client: AnalyticsClient): (props: { children: ReactNode }) => ReactElement {
  return ({ children }) => <AnalyticsProvider client={client}>{children}</AnalyticsProvider>
}

/** Waits for a condition, while React renders as it does in a browser. */
export function until(condition: () => unknown): Promise<void> {
  const check = () => {
    if (!condition()) throw new Error(`never came true: ${condition}`)
  }
  return waitFor(check, { timeout: DEADLINE, interval: 5 })
}

/** Waits until listeners were told of what has come; something must have. */
export async function flushed(client: AnalyticsClient): Promise<void> {
  let told = false
  const leave = client.subscribe(() => {
    told = true
  })
  await until(() => told)
  leave()
}

/**
 * Waits until whatever was released before is let go: what is released last, of the same scope, goes last. Gives the
 * messages that the edge was sent in this time, without those about the last one itself.
 */
export async function letGo(client: AnalyticsClient, edge: FakeEdge): Promise<ClientMessage[]> {
  const [connection] = edge.open
  const before = connection?.received.length
  client.watch([LAST])()
  const isLast = (message: ClientMessage) => 'contentIds' in message && message.contentIds?.includes(LAST)
  const sent = () => connection?.received.slice(before) ?? []
  await until(() => sent().some(message => message.type === 'unsubscribe' && isLast(message)))
  return sent().filter(message => !isLast(message))
}

const LAST = 'released last'
