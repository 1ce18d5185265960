// What a view shows: sums over what the scope sees, the same objects while nothing changes, one word per frame.

import { afterEach, expect, test, vi } from 'vitest'
import type { Update } from '../../src/types'
import { testClient, testEdge } from '../support/client'
import { until } from '../support/until'

afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

test('a content is the sum over the counters that the scope sees, and the parts are listed', async () => {
  const edge = await testEdge()
  edge.count('a', 'views', 1)
  edge.count('a', 'views', 10, { organizationId: 'acme' })
  edge.count('a', 'views', 100, { organizationId: 'acme', clientId: 'web' })
  edge.count('a', 'views', 1_000, { organizationId: 'acme', clientId: 'app' })
  edge.count('a', 'views', 10_000, { organizationId: 'other' })
  const client = testClient({ url: edge.wsUrl })
  const all = client.view({ organizationId: 'acme' })
  const web = client.view({ organizationId: 'acme', clientId: 'web' })
  const open = client.view()
  for (const view of [all, web, open]) view.watch(['a'])
  await until(() => all.read('a')?.counters.length === 4, 'four counters')
  await until(() => web.read('a')?.counters.length === 3, 'three counters')
  await until(() => open.read('a')?.counters.length === 1, 'one counter')
  expect([all, web, open].map(view => view.read('a')?.views)).toEqual([1_111, 111, 1])
  edge.count('a', 'views', 1)
  await until(() => [all, web, open].every(view => [1_112, 112, 2].includes(view.read('a')?.views ?? 0)), 'all three')
})

test('what did not change stays the same object', async () => {
  const edge = await testEdge()
  edge.count('a', 'views')
  edge.count('b', 'views')
  const client = testClient({ url: edge.wsUrl })
  const view = client.view()
  view.watch(['a', 'b'])
  await until(() => view.read('a') && view.read('b')?.views, 'both')
  const [a, b, snapshot] = [view.read('a'), view.read('b'), view.getSnapshot()]
  edge.count('b', 'views')
  await until(() => view.read('b')?.views === 2, 'the change')
  expect(view.read('a')).toBe(a)
  expect(view.read('b')).not.toBe(b)
  await view.refetch()
  expect(view.read('a')).toBe(a)
  expect(view.getSnapshot().status).toBe(snapshot.status)
  expect(view.getSnapshot()).toBe(view.getSnapshot())
  expect(client.view({})).toBe(view)
})

test('listeners hear once of a thousand messages, `onUpdate` of each', async () => {
  const edge = await testEdge()
  const client = testClient({ url: edge.wsUrl })
  const view = client.view()
  view.watch(['a'])
  await until(() => view.getSnapshot().isLive, 'live')
  const updates: Update[] = []
  view.onUpdate(update => updates.push(update))
  let calls = 0
  await until(() => view.read('a'), 'the first state')
  view.subscribe(() => calls++)
  for (let i = 0; i < 1_000; i++) edge.count('a', 'views')
  await until(() => updates.length === 1_000, 'all updates')
  await until(() => calls > 0, 'the flush')
  expect(view.read('a')?.views).toBe(1_000)
  // Every flush takes at least 50 ms where there are no frames.
  expect(calls).toBeLessThan(20)
  expect(updates.at(-1)).toMatchObject({ contentId: 'a', field: 'views', value: 1_000, source: 'socket' })
})

test('what became known is told from what changed, whatever the clocks say', async () => {
  const edge = await testEdge({ clock: () => Date.now() + 3_600_000 })
  edge.count('old', 'views', 3)
  const view = testClient({ url: edge.wsUrl }).view()
  const told: string[] = []
  view.onUpdate(({ contentId, field, value, initial }) => told.push(`${contentId} ${field} ${value} ${initial}`))
  view.watch(['old', 'new'])
  await until(() => view.read('old') && view.read('new'), 'all that there is')
  expect(told).toEqual(['views 3', 'likes 0', 'shares 0', 'comments 0'].map(count => `old ${count} true`))
  edge.count('old', 'likes')
  edge.count('new', 'views')
  await until(() => told.length === 6, 'the changes')
  expect(told.slice(4)).toEqual(['old likes 1 false', 'new views 1 false'])
})

test('a poll tells them apart, too', async () => {
  const edge = await testEdge()
  edge.count('old', 'views', 3)
  edge.refuse({ status: 503, code: 'unavailable' })
  const view = testClient({ url: edge.wsUrl }).view()
  const told: string[] = []
  view.onUpdate(({ contentId, field, value, initial }) => {
    if (value > 0) told.push(`${contentId} ${field} ${value} ${initial}`)
  })
  view.watch(['old', 'new'])
  await until(() => edge.upgrades === 1, 'the refusal')
  edge.refuse(null)
  await view.refetch()
  edge.count('new', 'views')
  edge.count('old', 'likes')
  await view.refetch()
  expect(told.sort()).toEqual(['new views 1 false', 'old likes 1 false', 'old views 3 true'])
})

test('a listener that has left hears nothing, and one that subscribed twice leaves once', async () => {
  const edge = await testEdge()
  const view = testClient({ url: edge.wsUrl }).view()
  const listener = vi.fn()
  const [leaveFirst, leaveSecond] = [view.onUpdate(listener), view.onUpdate(listener)]
  view.watch(['a'])
  await until(() => view.getSnapshot().isLive, 'live')
  leaveFirst()
  edge.count('a', 'views')
  await until(() => listener.mock.calls.length === 1, 'one call')
  leaveSecond()
  edge.count('a', 'views')
  await until(() => view.read('a')?.views === 2, 'the change')
  expect(listener).toHaveBeenCalledTimes(1)
})

test('a score follows the thresholds that the edge serves, and an unknown type costs no page', async () => {
  const edge = await testEdge()
  edge.count('a', 'views', 1_000)
  const view = testClient({ url: edge.wsUrl }).view()
  view.watch(['a'])
  await until(() => view.read('a')?.score, 'a score')
  await until(() => edge.requests.some(({ url }) => url.endsWith('/performance-config')), 'the thresholds')
  expect(view.read('a')).toMatchObject({ score: 40, rating: 'average' })
  expect(view.read('a', 'video')).toMatchObject({ score: 50, rating: 'good' })
  expect(view.read('a', 'no such type')).toMatchObject({ score: 40 })
})

test('a quick gain is trending, and is no more when its window has passed', async () => {
  const edge = await testEdge()
  edge.count('a', 'views', 100)
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
  const view = testClient({ url: edge.wsUrl }).view()
  view.watch(['a'])
  await until(() => view.read('a')?.views === 100, 'the snapshot')
  // What was there before anybody looked is no gain.
  expect(view.read('a')?.trending).toBe(false)
  edge.count('a', 'views', 50)
  await until(() => view.read('a')?.views === 150, 'the gain')
  expect(view.read('a')?.trending).toBe(true)
  await vi.advanceTimersByTimeAsync(60_000)
  await vi.advanceTimersByTimeAsync(60_000)
  await vi.advanceTimersByTimeAsync(600_000)
  expect(view.read('a')?.trending).toBe(false)
})

test('a simulated view opens nothing, moves on top of the last real values, and says so', async () => {
  const edge = await testEdge()
  edge.count('a', 'views', 100)
  const client = testClient({ url: edge.wsUrl })
  const release = client.watch(['a'])
  await until(() => client.view().read('a')?.views === 100, 'the real value')
  const simulated = client.view({}, { simulate: true })
  const updates: Update[] = []
  simulated.onUpdate(update => updates.push(update))
  simulated.watch(['a'], { interval: 100 })
  release()
  await until(() => (simulated.read('a')?.views ?? 0) > 100, 'an invented view')
  expect(simulated.getSnapshot()).toMatchObject({ status: 'idle', source: 'simulated', isLive: false })
  expect(updates[0]).toMatchObject({ source: 'simulated', contentId: 'a' })
  expect(edge.upgrades).toBe(1)
})

test('in development, values move on their own when nothing answers, and the first real value ends that', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0.5)
  const edge = await testEdge()
  edge.count('a', 'views', 7)
  await edge.down()
  const client = testClient({ url: edge.wsUrl, interval: 100 })
  client.watch(['a'])
  await until(() => client.getSnapshot().source === 'simulated', 'the simulation')
  expect(client.getSnapshot()).toMatchObject({ status: 'reconnecting', isLive: false, isStale: true })
  expect(client.view().read('a')?.views).toBeGreaterThan(0)
  await edge.up()
  client.reconnect()
  await until(() => client.getSnapshot().isLive, 'live')
  await until(() => client.view().read('a')?.views === 7, 'the real value alone')
  expect(client.getSnapshot().source).toBe('socket')
})

test('what was invented is gone as soon as an edge answers, also for contents that were never counted', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0.5)
  const edge = await testEdge()
  await edge.down()
  // The socket alone brings the news: no poll is ever answered.
  const fetch_ = () => Promise.reject(new TypeError('fetch failed'))
  const client = testClient({ url: edge.wsUrl, interval: 100, fetch: fetch_ })
  client.watch(['never'])
  await until(() => (client.view().read('never')?.views ?? 0) > 0, 'the simulation')
  await edge.up()
  client.reconnect()
  await until(() => client.getSnapshot().isLive, 'live')
  expect(client.view().read('never')).toMatchObject({ views: 0, likes: 0, updatedAt: null, counters: [] })
  expect(client.getSnapshot().source).toBe('socket')
})
