// The client against a real WebSocket server that drops, is slow, falls silent, talks garbage and says goodbye.

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { CountedWebSocket, silentServer, testClient, testEdge } from '../support/client'
import { until } from '../support/until'

/** Waits are drawn from the beginning of their range, so that no test waits. */
beforeEach(() => void vi.spyOn(Math, 'random').mockReturnValue(0))
afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

test('nothing is opened before something is watched, and everything is closed after', async () => {
  const edge = await testEdge()
  const client = testClient({ url: edge.wsUrl })
  expect(client.getSnapshot().status).toBe('idle')
  expect(edge.upgrades).toBe(0)
  edge.count('a', 'views', 3)
  const release = client.watch(['a'])
  await until(() => client.view().read('a')?.views === 3, 'the snapshot')
  expect(client.getSnapshot()).toMatchObject({
    status: 'live',
    source: 'socket',
    isLive: true,
    isStale: false,
    error: null,
  })
  release()
  await until(() => edge.open.length === 0, 'the end of the connection')
  expect(edge.connections[0]?.closed).toBe(1000)
  await until(() => client.getSnapshot().status === 'idle', 'idle')
})

test('all watchers of a scope share one socket, and only what is new is asked for', async () => {
  const edge = await testEdge()
  const client = testClient({ url: edge.wsUrl })
  const releaseFirst = client.watch(['a', 'b'])
  client.watch(['b', 'c'])
  await until(() => client.getSnapshot().isLive, 'live')
  const connection = edge.connections[0]
  expect(connection?.received).toEqual([{ type: 'subscribe', contentIds: ['a', 'b', 'c'] }])
  client.watch(['d'])
  await until(() => connection?.ids.length === 4, 'the fourth id')
  releaseFirst()
  await until(() => connection?.ids.length === 3, 'three ids')
  expect(connection?.received.slice(1)).toEqual([
    { type: 'subscribe', contentIds: ['d'], mode: 'add' },
    { type: 'unsubscribe', contentIds: ['a'] },
  ])
  expect(edge.upgrades).toBe(1)
})

test('a subscription larger than a message goes in several', async () => {
  const edge = await testEdge()
  const client = testClient({ url: edge.wsUrl })
  const ids = Array.from({ length: 300 }, (_, index) => `${index}-`.padEnd(200, 'é').slice(0, 120))
  client.watch(ids)
  await until(() => edge.connections[0]?.ids.length === ids.length, 'all ids')
  const received = edge.connections[0]?.received ?? []
  expect(received.length).toBeGreaterThan(1)
  expect(Math.max(...received.map(message => Buffer.byteLength(JSON.stringify(message))))).toBeLessThan(65_536)
  expect(edge.connections[0]?.ids).toEqual(ids)
})

test('an id that the edge would refuse costs only itself', async () => {
  const edge = await testEdge()
  edge.count('good', 'views')
  const client = testClient({ url: edge.wsUrl })
  client.watch(['good', '', 'line\nbreak', 'x'.repeat(257), '\ud800', 7 as unknown as string])
  await until(() => client.view().read('good')?.views === 1, 'the good one')
  expect(edge.connections[0]?.ids).toEqual(['good'])
})

test('garbage is passed over, and the connection lives', async () => {
  const edge = await testEdge()
  const client = testClient({ url: edge.wsUrl })
  client.watch(['a'])
  await until(() => client.getSnapshot().isLive, 'live')
  for (const garbage of [
    '{',
    'null',
    '{"type":"analytics_update","contentId":"a","field":"views","value":"9"}',
    '[]',
  ]) {
    edge.connections[0]?.send(garbage)
  }
  edge.count('a', 'likes')
  await until(() => client.view().read('a')?.likes === 1, 'what came after the garbage')
  expect(client.view().read('a')?.views).toBe(0)
  expect(edge.upgrades).toBe(1)
})

test('a socket that looks alive and is dead is left after a ping without an answer', async () => {
  const edge = await testEdge()
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
  const client = testClient({ url: edge.wsUrl })
  client.watch(['a'])
  await until(() => client.getSnapshot().isLive, 'live')
  const [connection] = edge.connections
  if (connection) connection.muted = true
  await vi.advanceTimersByTimeAsync(25_000)
  await vi.advanceTimersByTimeAsync(9_000)
  expect(edge.upgrades).toBe(1)
  await vi.advanceTimersByTimeAsync(1_500)
  await until(() => edge.upgrades === 2, 'a second connection')
  await until(() => client.getSnapshot().isLive, 'live again')
})

test('a server that accepts and never answers the handshake is given up, again and again', async () => {
  const { wsUrl } = await silentServer()
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  CountedWebSocket.opened = 0
  const fetch_ = () => Promise.reject(new TypeError('fetch failed'))
  const client = testClient({ url: wsUrl, WebSocket: CountedWebSocket, fetch: fetch_ })
  client.watch(['a'])
  await until(() => CountedWebSocket.opened === 1, 'the first attempt')
  await vi.advanceTimersByTimeAsync(15_000)
  await until(() => client.getSnapshot().status === 'reconnecting', 'the first is given up')
  await vi.advanceTimersByTimeAsync(1_000)
  await until(() => CountedWebSocket.opened === 2, 'the second attempt')
})

test.each([1000, 1002, 1007, 1009])('after close code %i it stays away and says why', async code => {
  const edge = await testEdge()
  const client = testClient({ url: edge.wsUrl, interval: 100 })
  client.watch(['a'])
  await until(() => client.getSnapshot().isLive, 'live')
  edge.close(code)
  await until(() => client.getSnapshot().status === 'failed', 'the end')
  expect(client.getSnapshot().error).toMatchObject({ code: 'closed', message: `the connection was closed: ${code}` })
  client.reconnect()
  await until(() => client.getSnapshot().isLive, 'live by the reader’s wish')
  expect(edge.upgrades).toBe(2)
})

test.each([
  [1001, ''],
  [1008, ''],
  [1011, ''],
  [1012, 'retry-after=20'],
  [1013, ''],
])('after close code %i it comes back', async (code, reason) => {
  const edge = await testEdge()
  const client = testClient({ url: edge.wsUrl })
  client.watch(['a'])
  await until(() => client.getSnapshot().isLive, 'live')
  edge.close(code, reason)
  await until(() => edge.upgrades === 2, 'the second connection')
  await until(() => client.getSnapshot().isLive, 'live again')
})

test('an id that nobody ever counted is shown with zeros once the edge has told all', async () => {
  const edge = await testEdge()
  const client = testClient({ url: edge.wsUrl })
  client.watch(['never'])
  await until(() => client.view().read('never'), 'the zeros')
  expect(client.view().read('never')).toMatchObject({ views: 0, updatedAt: null, counters: [] })
})

test.each(['live', 'connecting'] as const)(
  'asked to reconnect while %s, it says so as long as the handshake takes',
  async status => {
    const edge = await testEdge()
    const silent = await silentServer()
    let url = status === 'live' ? edge.wsUrl : silent.wsUrl
    class Turning extends CountedWebSocket {
      constructor(_: string, protocols?: string[]) {
        super(url, protocols)
      }
    }
    const client = testClient({ url: edge.wsUrl, WebSocket: Turning })
    client.watch(['a'])
    await until(() => (status === 'live' ? client.getSnapshot().isLive : silent.met() === 1), status)
    expect(client.getSnapshot().status).toBe(status)
    const met = silent.met()
    url = silent.wsUrl
    client.reconnect()
    const meanwhile = { status: status === 'live' ? 'reconnecting' : 'connecting', isLive: false }
    expect(client.getSnapshot()).toMatchObject(meanwhile)
    await until(() => silent.met() === met + 1, 'the handshake under way')
    expect(client.getSnapshot()).toMatchObject(meanwhile)
    url = edge.wsUrl
    client.reconnect()
    await until(() => client.getSnapshot().isLive, 'live again')
  },
)
