// What is no edge, or one behind something strange: the client waits as told, tells what it knows, and asks nobody without end.

import { createServer, type RequestListener } from 'node:http'
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import { WebSocketServer } from 'ws'
import { CountedWebSocket, testClient, testEdge } from '../support/client'
import type { Judge } from '../support/fake-edge'
import { until } from '../support/until'

afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

async function server(answer: RequestListener) {
  const http = createServer(answer)
  await new Promise<void>(resolve => http.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    http.closeAllConnections()
    http.close()
  })
  return { http, port: (http.address() as { port: number }).port }
}

test.each(['3000000', '99999999999', 'Infinity', 'Tue, 19 Jan 2038 03:14:08 GMT'])(
  'a Retry-After of %s is waited for, as far as a timer goes',
  async value => {
    vi.spyOn(Math, 'random').mockReturnValue(0.999)
    let asked = 0
    const { port } = await server((_, response) => {
      asked++
      response.writeHead(503, { 'retry-after': value, 'content-type': 'application/json' })
      response.end('{"success":false,"error":"busy","code":"unavailable"}')
    })
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
    CountedWebSocket.opened = 0
    const client = testClient({ url: `ws://127.0.0.1:${port}/analytics`, WebSocket: CountedWebSocket })
    client.watch(['a'])
    await until(() => client.getSnapshot().error?.code === 'unavailable', 'the refusal')
    await vi.advanceTimersByTimeAsync(2_500)
    expect(CountedWebSocket.opened).toBe(1)
    expect(asked).toBeLessThanOrEqual(3)
  },
)

test('while a handshake hangs, the page is shown what another address answers', async () => {
  const hanging = createServer()
  hanging.on('upgrade', socket => void socket.on('error', () => {}))
  await new Promise<void>(resolve => hanging.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    hanging.closeAllConnections()
    hanging.close()
  })
  const { port } = hanging.address() as { port: number }
  const other = await testEdge()
  other.count('a', 'views', 5)
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const client = testClient({
    url: `ws://127.0.0.1:${port}/analytics`,
    pollUrl: `${other.httpUrl}/api/analytics/content`,
  })
  client.watch(['a'])
  await vi.advanceTimersByTimeAsync(3_100)
  await until(() => client.view().read('a')?.views === 5, 'the number')
  await until(() => client.getSnapshot().status === 'polling', 'polling')
})

test('what accepts a socket and never answers a subscription is left, whatever it says', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0)
  const { http, port } = await server((_, response) => response.writeHead(404).end())
  const echo = new WebSocketServer({ server: http })
  let sockets = 0
  echo.on('connection', socket => {
    sockets++
    socket.on('message', text => socket.send(String(text)))
  })
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
  const client = testClient({ url: `ws://127.0.0.1:${port}/analytics` })
  client.watch(['a'])
  await until(() => sockets === 1, 'the socket')
  await vi.advanceTimersByTimeAsync(10_100)
  await until(() => sockets === 2, 'the next attempt')
  expect(client.getSnapshot()).toMatchObject({ status: 'reconnecting', error: { code: 'network' } })
})

test('where no WebSocket gets through, all ids are known soon, more than one call takes too', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0.5)
  const edge = await testEdge()
  const ids = Array.from({ length: 250 }, (_, index) => `content-${index}`)
  for (const id of ids) edge.count(id, 'views')
  const { port } = await server((_, response) => response.writeHead(404).end())
  const url = `ws://127.0.0.1:${port}/analytics`
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
  const client = testClient({ url, pollUrl: `${edge.httpUrl}/api/analytics/content` })
  client.watch(ids)
  await until(() => client.getSnapshot().status === 'reconnecting', 'the refusal')
  await vi.advanceTimersByTimeAsync(3_500)
  await until(() => ids.every(id => client.view().read(id)?.views === 1), 'all of them')
})

test('a call’s address stays short enough for servers that refuse long ones', async () => {
  const edge = await testEdge()
  const ids = Array.from({ length: 100 }, (_, index) => `${index}-`.padEnd(120, 'ж'))
  for (const id of ids) edge.count(id, 'views')
  const client = testClient({ url: edge.wsUrl })
  client.watch(ids)
  await until(() => client.getSnapshot().isLive, 'live')
  await client.view().refetch()
  const polls = edge.requests.filter(({ url }) => url.includes('/content'))
  expect(Math.max(...polls.map(({ url }) => url.length))).toBeLessThan(8_000)
  expect(polls.flatMap(({ url }) => new URL(url, 'http://edge').searchParams.getAll('id'))).toEqual(ids)
})

test('a poll whose token is refused takes a fresh one, once', async () => {
  const judge: Judge = given =>
    given === 'fresh' ? { organizationId: 'acme' } : { status: 401, code: 'unauthorized' as const, error: 'ended' }
  const other = await testEdge({ judge })
  other.count('a', 'views', 5)
  const edge = await testEdge()
  const reasons: string[] = []
  const getToken = ({ reason }: { reason: string }) => {
    reasons.push(reason)
    return reason === 'expired' ? 'fresh' : 'old'
  }
  const client = testClient({ url: edge.wsUrl, pollUrl: `${other.httpUrl}/api/analytics/content`, getToken })
  client.watch(['a'])
  await until(() => client.getSnapshot().isLive, 'live')
  await client.view().refetch()
  expect(client.view().read('a')?.views).toBe(5)
  expect(reasons).toEqual(['connect', 'expired'])
})

test('an attempt that is made early replaces the one that was planned', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0.999)
  const edge = await testEdge()
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
  const client = testClient({ url: edge.wsUrl })
  const release = client.watch(['a'])
  await until(() => client.getSnapshot().isLive, 'live')
  edge.cut()
  await until(() => client.getSnapshot().status === 'reconnecting', 'the loss')
  client.reconnect()
  await until(() => client.getSnapshot().isLive, 'live again')
  await vi.advanceTimersByTimeAsync(20_000)
  expect(edge.upgrades).toBe(2)
  edge.cut()
  await until(() => client.getSnapshot().status === 'reconnecting', 'the second loss')
  release()
  await vi.advanceTimersByTimeAsync(60_000)
  expect(edge.upgrades).toBe(2)
})

test('an empty organization is none: one view, one socket', async () => {
  const edge = await testEdge()
  const client = testClient({ url: edge.wsUrl })
  expect(client.view({ organizationId: '' })).toBe(client.view())
})
