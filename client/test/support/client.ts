// A client as tests want it. The rule: the real one, with the `ws` package as its WebSocket and nothing printed, and closed
// when the test ends.

import { onTestFinished } from 'vitest'
import { WebSocket } from 'ws'
import { createAnalyticsClient } from '../../src/client'
import type { AnalyticsClient, ClientOptions } from '../../src/types'
import { type FakeEdge, type FakeEdgeOptions, startFakeEdge } from './fake-edge'

/** Every socket that a client opens is counted. */
export class CountedWebSocket extends WebSocket {
  static opened = 0
  constructor(...args: ConstructorParameters<typeof WebSocket>) {
    super(...args)
    CountedWebSocket.opened++
  }
}

export function testClient(options: ClientOptions): AnalyticsClient {
  const client = createAnalyticsClient({ WebSocket, logger: null, releaseDelay: 0, ...options })
  onTestFinished(() => client.close())
  return client
}

export async function testEdge(options?: FakeEdgeOptions): Promise<FakeEdge> {
  const edge = await startFakeEdge(options)
  onTestFinished(() => edge.stop())
  return edge
}
