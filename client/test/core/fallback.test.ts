// While there is no socket: polls bring the numbers, the state says so, and whatever is newest stands.

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { testClient, testEdge } from '../support/client'
import { until } from '../support/until'

/** Waits are drawn from the beginning of their range, so that no test waits. */
beforeEach(() => void vi.spyOn(Math, 'random').mockReturnValue(0))
afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
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
