// The client against a real WebSocket server that drops, refuses, is slow, falls silent, talks garbage and says goodbye.

import { createServer } from 'node:net'
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { CountedWebSocket, testClient, testEdge } from '../support/client'
import { token } from '../support/edge'
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

test('a lost connection is polled for, says so, and comes back with the right number', async () => {
  const edge = await testEdge()
  edge.count('a', 'views')
  const client = testClient({ url: edge.wsUrl, interval: 100 })
  const statuses: string[] = []
  client.subscribe(() => statuses.push(client.getSnapshot().status))
  client.watch(['a'])
  await until(() => client.getSnapshot().isLive, 'live')
  await edge.down()
  await until(() => statuses.includes('reconnecting'), 'the loss')
  expect(client.getSnapshot()).toMatchObject({ isStale: true, error: { code: 'network' } })
  edge.count('a', 'views', 41)
  await edge.up()
  await until(() => client.getSnapshot().isLive, 'live again')
  await until(() => client.view().read('a')?.views === 42, 'the newest number')
  expect(client.getSnapshot()).toMatchObject({ error: null, isStale: false })
})

test('while upgrades fail, polls go on at the given interval and stop when the socket is back', async () => {
  const edge = await testEdge()
  const other = await testEdge()
  other.count('a', 'views', 5)
  // The first address is that of an edge which is gone: the second one outlives it.
  const pollUrl = [`${edge.httpUrl}/api/analytics/content`, `${other.httpUrl}/api/analytics/content`]
  const client = testClient({ url: edge.wsUrl, pollUrl, interval: 100 })
  await edge.down()
  client.watch(['a'])
  await until(() => client.getSnapshot().status === 'polling', 'polling')
  expect(client.getSnapshot()).toMatchObject({ source: 'poll', isStale: false, isLive: false })
  expect(client.view().read('a')?.views).toBe(5)
  other.count('a', 'views', 1)
  await until(() => client.view().read('a')?.views === 6, 'the next poll')
  await edge.up()
  await until(() => client.getSnapshot().isLive, 'live')
  const polls = other.requests.length
  await until(() => edge.open.length === 1, 'the socket')
  const before = performance.now()
  await until(() => performance.now() - before > 400, 'four intervals')
  expect(other.requests.length).toBe(polls)
})

test('a slow poll that lands after a fresh push changes nothing', async () => {
  const edge = await testEdge()
  edge.count('a', 'views', 1)
  let land = () => {}
  const slow: typeof fetch = async (input, init) => {
    const response = await fetch(input, init)
    if (String(input).includes('/content')) await new Promise<void>(resolve => (land = resolve))
    return response
  }
  const client = testClient({ url: edge.wsUrl, fetch: slow })
  client.watch(['a'])
  await until(() => client.view().read('a')?.views === 1, 'the snapshot')
  const poll = client.view().refetch()
  await until(() => edge.requests.some(({ url }) => url.includes('/content')), 'the answer on its way')
  edge.count('a', 'views', 9)
  await until(() => client.view().read('a')?.views === 10, 'the push')
  land()
  await poll
  expect(client.view().read('a')?.views).toBe(10)
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
  const silent = createServer(socket => void socket.on('error', () => {}))
  await new Promise<void>(resolve => silent.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void silent.close())
  const { port } = silent.address() as { port: number }
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  CountedWebSocket.opened = 0
  const fetch_ = () => Promise.reject(new TypeError('fetch failed'))
  const client = testClient({ url: `ws://127.0.0.1:${port}/analytics`, WebSocket: CountedWebSocket, fetch: fetch_ })
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

test('a store that was wiped wins over what the page remembers', async () => {
  const edge = await testEdge()
  const fresh = await testEdge({ base: 9_000_000 })
  edge.count('a', 'views', 500)
  fresh.count('a', 'views', 2)
  const client = testClient({ url: edge.wsUrl, pollUrl: `${fresh.httpUrl}/api/analytics/content` })
  client.watch(['a', 'b'])
  edge.count('b', 'likes', 3)
  await until(() => client.view().read('a')?.views === 500 && client.view().read('b')?.likes === 3, 'the old store')
  await client.view().refetch()
  expect(client.view().read('a')?.views).toBe(2)
  expect(client.view().read('b')).toMatchObject({ likes: 0, counters: [] })
})

test('an id that nobody ever counted is shown with zeros once the edge has told all', async () => {
  const edge = await testEdge()
  const client = testClient({ url: edge.wsUrl })
  client.watch(['never'])
  await until(() => client.view().read('never'), 'the zeros')
  expect(client.view().read('never')).toMatchObject({ views: 0, updatedAt: null, counters: [] })
})

test('a token that ends is renewed on the same connection', async () => {
  let minted = 0
  const soon = () => token({ exp: Math.floor(Date.now() / 1000) + 2, n: ++minted })
  const edge = await testEdge({
    judge: given => (given ? { expiresAt: Date.now() + 2_000 } : { status: 401, code: 'unauthorized' as const }),
  })
  const client = testClient({ url: edge.wsUrl, getToken: soon })
  client.watch(['a'])
  await until(() => edge.connections[0]?.received.some(message => message.type === 'authenticate'), 'the renewal')
  expect(edge.upgrades).toBe(1)
  expect(client.getSnapshot().isLive).toBe(true)
})

test('4401 brings a fresh token at once', async () => {
  const reasons: string[] = []
  const edge = await testEdge()
  const client = testClient({ url: edge.wsUrl, getToken: ({ reason }) => `t${reasons.push(reason)}` })
  client.watch(['a'])
  await until(() => client.getSnapshot().isLive, 'live')
  edge.close(4401)
  await until(() => edge.upgrades === 2, 'the second connection')
  await until(() => client.getSnapshot().isLive, 'live again')
  expect(reasons).toEqual(['connect', 'expired'])
  expect(edge.connections[1]?.token).toBe('t2')
})

test('a refused token is renewed once, then it is over, with the edge’s reason', async () => {
  const reasons: string[] = []
  const edge = await testEdge({ judge: () => ({ status: 401, code: 'unauthorized', error: 'the signature is wrong' }) })
  const client = testClient({ url: edge.wsUrl, getToken: ({ reason }) => `t${reasons.push(reason)}` })
  client.watch(['a'])
  await until(() => client.getSnapshot().status === 'failed', 'the end')
  expect(client.getSnapshot().error).toMatchObject({ code: 'unauthorized', message: 'the signature is wrong' })
  expect(reasons).toEqual(['connect', 'expired'])
})

test('403 is the end at once; 503 and 429 are waited for as told', async () => {
  const edge = await testEdge()
  edge.refuse({ status: 503, code: 'unavailable', retryAfter: 1 })
  const client = testClient({ url: edge.wsUrl })
  client.watch(['a'])
  await until(() => client.getSnapshot().error?.code === 'unavailable', 'the refusal')
  expect(client.getSnapshot().status).toBe('reconnecting')
  const before = edge.upgrades
  edge.refuse({ status: 403, code: 'forbidden', error: 'this origin is not allowed' })
  await until(() => client.getSnapshot().status === 'failed', 'the end')
  expect(edge.upgrades).toBe(before + 1)
  expect(client.getSnapshot().error).toMatchObject({ code: 'forbidden', message: 'this origin is not allowed' })
})

test('a getToken that fails is tried again, and named', async () => {
  let broken = true
  const edge = await testEdge()
  const getToken = () => {
    if (broken) throw new Error('no session yet')
    return 'good'
  }
  const client = testClient({ url: edge.wsUrl, getToken, interval: 100 })
  client.watch(['a'])
  await until(() => client.getSnapshot().error?.code === 'token', 'the failure')
  broken = false
  await until(() => client.getSnapshot().isLive, 'live')
  expect(edge.connections[0]?.token).toBe('good')
})

test('a scope that is forbidden is the end, and the others live', async () => {
  const edge = await testEdge()
  const client = testClient({ url: edge.wsUrl })
  client.watch(['a'], { organizationId: 'acme' })
  client.watch(['a'], { organizationId: 'other' })
  await until(() => edge.connections.length === 2, 'two sockets')
  await until(() => client.getSnapshot({ organizationId: 'acme' }).isLive, 'live')
  const connection = edge.connections.find(({ scope }) => scope.organizationId === 'other')
  connection?.send({ type: 'error', error: 'outside the token', code: 'forbidden', timestamp: 1 })
  await until(() => client.getSnapshot({ organizationId: 'other' }).status === 'failed', 'the end of one')
  expect(client.getSnapshot({ organizationId: 'acme' }).isLive).toBe(true)
  expect(client.getSnapshot().status).toBe('failed')
})

test.each([
  [{ url: 'edge.example.com' }, 'url must be'],
  [{ url: '' }, 'url must be'],
  [{ url: 'ws://localhost/analytics', interval: 5 }, 'interval must be'],
  [{ url: 'ws://localhost/analytics', releaseDelay: Number.NaN }, 'releaseDelay must be'],
  [{ url: 'ws://localhost/analytics', WebSocket: 7 as never }, 'WebSocket must be'],
])('options that are wrong are an error that names them: %j', async (options, text) => {
  const client = testClient(options)
  client.watch(['a'])
  await until(() => client.getSnapshot().status === 'failed', 'the error')
  expect(client.getSnapshot().error).toMatchObject({ code: 'configuration' })
  expect(client.getSnapshot().error?.message).toContain(text)
})
