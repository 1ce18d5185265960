// More is watched than an edge takes: what has no room is polled for, and is live as soon as there is room.

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { testClient, testEdge } from '../support/client'
import { until } from '../support/until'

beforeEach(() => {
  vi.spyOn(Math, 'random').mockReturnValue(0)
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
})
afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

const INTERVAL = 1_000

async function crowdedEdge() {
  const edge = await testEdge({ maxIds: 2 })
  for (const id of ['a', 'b', 'c']) edge.count(id, 'views', 7)
  const client = testClient({ url: edge.wsUrl, interval: INTERVAL })
  return { edge, client, view: client.view(), polls: () => edge.requests.filter(({ url }) => url.includes('/content')) }
}

test('beside a live socket the rest is polled for, and subscribed when others have left', async () => {
  const { edge, client, view, polls } = await crowdedEdge()
  const release = client.watch(['a'])
  client.watch(['b'])
  await until(() => client.getSnapshot().isLive, 'live')
  client.watch(['c'])
  await until(() => client.getSnapshot().error?.code === 'too_many_ids', 'the refusal')
  await vi.advanceTimersByTimeAsync(1)
  await until(() => view.read('c')?.views === 7, 'the poll')
  expect(client.getSnapshot().isLive).toBe(true)
  edge.count('c', 'views')
  await vi.advanceTimersByTimeAsync(INTERVAL)
  await until(() => view.read('c')?.views === 8, 'the next poll')
  expect(edge.connections[0]?.ids).toEqual(['a', 'b'])

  release()
  await vi.advanceTimersByTimeAsync(1)
  await until(() => edge.connections[0]?.ids.join() === 'b,c', 'room for the rest')
  const asked = polls().length
  edge.count('c', 'views')
  await until(() => view.read('c')?.views === 9, 'the push')
  await vi.advanceTimersByTimeAsync(5 * INTERVAL)
  edge.count('b', 'views')
  await until(() => view.read('b')?.views === 8, 'a push after five intervals')
  expect(polls()).toHaveLength(asked)
  expect(edge.upgrades).toBe(1)
})

test('too many from the beginning are all polled for, and live when some have left', async () => {
  const { edge, client, view } = await crowdedEdge()
  const release = client.watch(['a'])
  client.watch(['b', 'c'])
  await until(() => client.getSnapshot().error?.code === 'too_many_ids', 'the refusal')
  await vi.advanceTimersByTimeAsync(1)
  await until(() => client.getSnapshot().status === 'polling', 'polling')
  expect(['a', 'b', 'c'].map(id => view.read(id)?.views)).toEqual([7, 7, 7])
  release()
  await vi.advanceTimersByTimeAsync(1)
  await until(() => client.getSnapshot().isLive, 'live')
  expect(client.getSnapshot().error).toBeNull()
  expect(edge.connections[0]?.ids).toEqual(['b', 'c'])
  expect(edge.upgrades).toBe(1)
})
