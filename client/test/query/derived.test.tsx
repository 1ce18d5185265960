// What is derived from counts: lists, rankings. The rule: fetched again when counts changed and when changes may have been
// missed, and not more often than it was told.

import { QueryClient, useQuery } from '@tanstack/react-query'
import { renderHook } from '@testing-library/react'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { analyticsQueryOptions, type BindOptions, bindQueryClient } from '../../src/query'
import { throttle } from '../../src/query/throttle'
import type { AnalyticsClient } from '../../src/types'
import type { FakeEdge } from '../support/fake-edge'
import { aClient, anEdge, atEnd, until } from '../support/hooks'

vi.setConfig({ testTimeout: 20_000 })

/** Runs wait as long as they ever do, so that one which is called for later comes later. */
beforeEach(() => void vi.spyOn(Math, 'random').mockReturnValue(1))
afterEach(() => void vi.restoreAllMocks())

const RANKING = ['articles', 'ranking']
const THROTTLE = 300

interface Page {
  client: AnalyticsClient
  /** When the ranking was fetched, the first time included. */
  fetched: number[]
  /** Unmounts what shows counts; the ranking stays. */
  leave(): void
  unbind(): void
}

/** Waits for a run that is called for now: whatever waited for its run before has had it. */
const ran = () => new Promise<void>(resolve => throttle(resolve, THROTTLE).call())

/** A page with a ranking. */
async function page(edge: FakeEdge, options: BindOptions = {}): Promise<Page> {
  edge.count('a', 'views')
  const client = aClient(edge)
  const queryClient = new QueryClient()
  const unbind = bindQueryClient(client, queryClient, { invalidate: [['articles']], throttle: THROTTLE, ...options })
  atEnd(() => queryClient.clear())
  atEnd(unbind)
  const fetched: number[] = []
  const queryFn = () => fetched.push(performance.now())
  renderHook(() => useQuery({ queryKey: RANKING, queryFn, staleTime: Number.POSITIVE_INFINITY }, queryClient))
  const { result, unmount } = renderHook(() => useQuery(analyticsQueryOptions(client, 'a'), queryClient))
  await until(() => fetched.length === 1 && result.current.data?.views)
  return { client, fetched, leave: unmount, unbind }
}

it('is not fetched again for the counts that a page begins with', async () => {
  const { fetched } = await page(await anEdge())
  await ran()
  expect(fetched).toHaveLength(1)
})

it.each([
  ['behind', -3_600_000],
  ['ahead of', 3_600_000],
])('is fetched again for changes alone where the edge’s clock is %s the page’s', async (_, skew) => {
  const edge = await anEdge({ clock: () => Date.now() + skew })
  const { client, fetched } = await page(edge)
  await ran()
  expect(fetched).toHaveLength(1)
  edge.count('a', 'likes')
  await until(() => fetched.length === 2)
  atEnd(client.watch(['new']))
  await until(() => client.view().read('new'))
  edge.count('new', 'views')
  await until(() => fetched.length === 3)
})

it('is fetched again after a change, and under a stream of them once in each throttle', async () => {
  const edge = await anEdge()
  const { client, fetched } = await page(edge)
  const began = performance.now()
  let views = 1
  const counting = setInterval(() => {
    edge.count('a', 'views')
    views++
  }, 5)
  await until(() => fetched.length === 4)
  clearInterval(counting)
  await until(() => client.view().read('a')?.views === views)
  const times = fetched.slice(1)
  expect(Number(times[0]) - began).toBeGreaterThan(THROTTLE / 2)
  times.slice(1).forEach((time, index) => void expect(time - Number(times[index])).toBeGreaterThan(THROTTLE - 5))
  await ran()
  expect(fetched.length).toBeLessThanOrEqual(5)
})

it('is fetched again after the change of what hooks watch, also of a content that was never counted before', async () => {
  const edge = await anEdge()
  const { client, fetched } = await page(edge)
  atEnd(client.watch(['new']))
  await until(() => client.view().read('new'))
  edge.count('new', 'views')
  await until(() => fetched.length === 2)
})

it('is fetched again exactly once after a reconnect, whatever was missed', async () => {
  const edge = await anEdge()
  const { client, fetched } = await page(edge)
  await edge.down()
  await until(() => !client.getSnapshot().isLive)
  for (const field of ['views', 'likes', 'shares'] as const) edge.count('a', field)
  await edge.up()
  client.reconnect()
  await until(() => client.getSnapshot().isLive && client.view().read('a')?.shares === 1)
  // A poll may have told of something before the socket was back.
  const before = fetched.length
  await until(() => fetched.length === before + 1)
  await ran()
  expect(fetched).toHaveLength(before + 1)
})

it('is fetched again after a reconnect also when nothing was missed', async () => {
  const edge = await anEdge()
  const { client, fetched } = await page(edge)
  let told = false
  atEnd(
    client.subscribe(() => {
      if (!client.getSnapshot().isLive) told = true
    }),
  )
  edge.cut()
  await until(() => told)
  client.reconnect()
  await until(() => client.getSnapshot().isLive)
  await until(() => fetched.length === 2)
  await ran()
  expect(fetched).toHaveLength(2)
})

it('is left alone when counts are shown again after a while in which none were', async () => {
  const edge = await anEdge()
  const { client, fetched, leave } = await page(edge)
  leave()
  await until(() => edge.open.length === 0)
  await ran()
  let told = false
  atEnd(
    client.subscribe(() => {
      told ||= client.getSnapshot().isLive && client.view().read('a')?.views === 1
    }),
  )
  atEnd(client.watch(['a']))
  // A binding that takes this for a loss does so when it is told.
  await until(() => told)
  await ran()
  expect(fetched).toHaveLength(1)
})

it('is left alone when the binding has ended, or names other keys', async () => {
  const edge = await anEdge()
  const other = await page(edge, { invalidate: [['books']] })
  const ended = await page(edge)
  edge.count('a', 'views')
  await until(() => ended.client.view().read('a')?.views === 3)
  ended.unbind()
  await ran()
  expect([other.fetched, ended.fetched].map(({ length }) => length)).toEqual([1, 1])
})
