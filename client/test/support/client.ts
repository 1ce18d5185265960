// A client as tests want it. The rule: the real one, with the `ws` package as its WebSocket and nothing printed, and closed
// when the test ends.

import { createServer } from 'node:net'
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

/** The address of a server that accepts connections and never says a word; `met` tells how many there were. */
export async function silentServer(): Promise<{ wsUrl: string; met(): number }> {
  let met = 0
  const server = createServer(socket => {
    met++
    socket.on('error', () => {})
    onTestFinished(() => void socket.destroy())
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const { port } = server.address() as { port: number }
  return { wsUrl: `ws://127.0.0.1:${port}/analytics`, met: () => met }
}
