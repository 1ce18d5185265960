// @vitest-environment jsdom
// What a page's life does to a connection: hidden pages do not poll, waking ones look after their socket, and one that is put
// aside gives it up.

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { testClient, testEdge } from '../support/client'
import { until } from '../support/until'

let visibility: DocumentVisibilityState = 'visible'

beforeEach(() => {
  visibility = 'visible'
  vi.spyOn(document, 'visibilityState', 'get').mockImplementation(() => visibility)
})
afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

const turnPage = (state: DocumentVisibilityState) => {
  visibility = state
  document.dispatchEvent(new Event('visibilitychange'))
}

const persisted = (type: string) => Object.assign(new Event(type), { persisted: true })

test('waking asks a socket that looks alive, and keeps it when it answers', async () => {
  const edge = await testEdge()
  const client = testClient({ url: edge.wsUrl })
  client.watch(['a'])
  await until(() => client.getSnapshot().isLive, 'live')
  turnPage('hidden')
  turnPage('visible')
  await until(() => edge.connections[0]?.received.some(message => message.type === 'ping'), 'the question')
  expect(client.getSnapshot().isLive).toBe(true)
  expect(edge.upgrades).toBe(1)
})

test('waking does not wait for a planned attempt', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(1)
  const edge = await testEdge()
  const client = testClient({ url: edge.wsUrl })
  client.watch(['a'])
  await until(() => client.getSnapshot().isLive, 'live')
  edge.cut()
  await until(() => client.getSnapshot().status === 'reconnecting', 'the loss')
  window.dispatchEvent(new Event('online'))
  await until(() => client.getSnapshot().isLive, 'live at once')
  expect(edge.upgrades).toBe(2)
})

test('a socket that died unseen is left soon after the network says so', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0)
  const edge = await testEdge()
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'requestAnimationFrame', 'cancelAnimationFrame'] })
  const client = testClient({ url: edge.wsUrl })
  client.watch(['a'])
  await until(() => client.getSnapshot().isLive, 'live')
  const [connection] = edge.connections
  if (connection) connection.muted = true
  window.dispatchEvent(new Event('offline'))
  await vi.advanceTimersByTimeAsync(5_100)
  await until(() => edge.upgrades === 2, 'a new connection')
})

test('a hidden page does not poll, and polls at once when it is seen again', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0)
  const edge = await testEdge()
  edge.refuse({ status: 503, code: 'unavailable', retryAfter: 600 })
  const other = await testEdge()
  other.count('a', 'views', 3)
  visibility = 'hidden'
  const client = testClient({ url: edge.wsUrl, pollUrl: `${other.httpUrl}/api/analytics/content`, interval: 100 })
  client.watch(['a'])
  await until(() => client.getSnapshot().error?.code === 'unavailable', 'the refusal')
  const before = performance.now()
  await until(() => performance.now() - before > 300, 'three intervals')
  expect(other.requests).toEqual([])
  turnPage('visible')
  await until(() => client.view().read('a')?.views === 3, 'the poll')
})

test('a page that is put aside closes its socket and opens one when it is back', async () => {
  const edge = await testEdge()
  const client = testClient({ url: edge.wsUrl })
  client.watch(['a'])
  await until(() => client.getSnapshot().isLive, 'live')
  window.dispatchEvent(persisted('pagehide'))
  await until(() => edge.open.length === 0, 'the end of the socket')
  window.dispatchEvent(persisted('pageshow'))
  await until(() => client.getSnapshot().isLive, 'live again')
  expect(edge.upgrades).toBe(2)
})

test('a hidden page is told of changes too, by a timer', async () => {
  const edge = await testEdge()
  const client = testClient({ url: edge.wsUrl })
  client.watch(['a'])
  await until(() => client.getSnapshot().isLive, 'live')
  turnPage('hidden')
  const listener = vi.fn()
  client.subscribe(listener)
  edge.count('a', 'views', 2)
  await until(() => listener.mock.calls.length > 0 && client.view().read('a')?.views === 2, 'the change')
})

test('a reader who looks in every four seconds does not keep a dead socket', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0)
  const edge = await testEdge()
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'requestAnimationFrame', 'cancelAnimationFrame'] })
  const client = testClient({ url: edge.wsUrl })
  client.watch(['a'])
  await until(() => client.getSnapshot().isLive, 'live')
  const [connection] = edge.connections
  if (connection) connection.muted = true
  for (let times = 0; times < 3; times++) {
    turnPage('hidden')
    turnPage('visible')
    await vi.advanceTimersByTimeAsync(4_000)
  }
  await until(() => edge.upgrades === 2, 'a new connection')
})
