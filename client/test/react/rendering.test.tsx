// What makes a hook render. The rule: only a change of what it shows, at most once per frame; and what did not change is
// the same object.

import { render, renderHook } from '@testing-library/react'
import { memo, Profiler } from 'react'
import { describe, expect, it } from 'vitest'
import { type RealTimeAnalyticsOptions, useRealTimeAnalytics } from '../../src/react'
import type { Update } from '../../src/types'
import { aClient, anEdge, flushed, letGo, providing, until } from '../support/hooks'

interface ShownProps {
  id: string
  onUpdate?: (update: Update) => void
  onRender?: () => void
}

/** Renders when its hook tells it to, and for no other reason. */
const Shown = memo(({ id, onUpdate, onRender }: ShownProps) => {
  const { data } = useRealTimeAnalytics({ contentIds: [id], onUpdate })
  onRender?.()
  return <p data-testid={id}>{data[id]?.views ?? '-'}</p>
})

describe('inline arrays and objects', () => {
  it('do not subscribe anew, nor make new objects', async () => {
    const edge = await anEdge()
    edge.count('a', 'views', 1)
    const client = aClient(edge)
    const { result, rerender } = renderHook(
      () => useRealTimeAnalytics({ contentIds: ['a', 'b'], contentTypes: { a: 'article' }, onUpdate: () => {} }),
      { wrapper: providing(client) },
    )
    await until(() => result.current.data.a?.views === 1 && result.current.data.b)
    const before = result.current
    for (let times = 0; times < 20; times++) rerender()
    expect(result.current).toBe(before)
    expect(await letGo(client, edge)).toEqual([])
    expect(result.current).toBe(before)
    expect(edge.connections[0]?.received[0]).toEqual({ type: 'subscribe', contentIds: ['a', 'b'] })
  })
})

describe('identity', () => {
  it('is kept of what did not change, and of the functions', async () => {
    const edge = await anEdge()
    for (const id of ['a', 'b']) edge.count(id, 'views', 1)
    const { result, rerender } = renderHook(({ ids }) => useRealTimeAnalytics({ contentIds: ids }), {
      wrapper: providing(aClient(edge)),
      initialProps: { ids: ['a', 'b'] },
    })
    await until(() => result.current.data.a?.views === 1 && result.current.data.b?.views === 1)
    const before = result.current

    edge.count('a', 'likes')
    await until(() => result.current.data.a?.likes === 1)
    expect(result.current.data).not.toBe(before.data)
    expect(result.current.data.a).not.toBe(before.data.a)
    expect(result.current.data.b).toBe(before.data.b)

    rerender({ ids: ['b'] })
    expect(Object.keys(result.current.data)).toEqual(['b'])
    expect(result.current.data.b).toBe(before.data.b)
    expect(result.current.refetch).toBe(before.refetch)
    expect(result.current.reconnect).toBe(before.reconnect)
  })

  it('is kept by a refetch that brings nothing new', async () => {
    const edge = await anEdge()
    edge.count('a', 'views', 1)
    const client = aClient(edge)
    const { result } = renderHook(() => useRealTimeAnalytics({ contentIds: ['a'] }), { wrapper: providing(client) })
    await until(() => result.current.data.a?.views === 1)
    const { data } = result.current
    await result.current.refetch()
    await flushed(client)
    expect(edge.requests.some(({ url }) => url === '/api/analytics/content?id=a')).toBe(true)
    expect(result.current.data).toBe(data)
  })
})

describe('names that objects have', () => {
  it('are ids like any other', async () => {
    const edge = await anEdge()
    const [prototype, ...others] = ['__proto__', 'constructor', 'toString'] as const
    const ids: string[] = [prototype, ...others]
    edge.count(prototype, 'views', 5)
    const { result } = renderHook(() => useRealTimeAnalytics({ contentIds: ids, contentTypes: {} }), {
      wrapper: providing(aClient(edge)),
    })
    expect(result.current.data.constructor).toBeUndefined()
    await until(() => result.current.data[prototype]?.views === 5)
    await until(() => Object.keys(result.current.data).length === 3)
  })
})

describe('many messages', () => {
  it('in one turn are one render, and every one of them reaches onUpdate', async () => {
    const edge = await anEdge()
    const updates: Update[] = []
    const onUpdate = (update: Update) => void updates.push(update)
    let commits = 0
    const { getByTestId } = render(
      <Profiler id="shown" onRender={() => void commits++}>
        <Shown id="a" onUpdate={onUpdate} />
      </Profiler>,
      { wrapper: providing(aClient(edge)) },
    )
    edge.count('a', 'views')
    await until(() => getByTestId('a').textContent === '1')
    updates.length = 0
    commits = 0
    for (let times = 0; times < 1_000; times++) edge.count('a', 'views')
    const began = performance.now()
    await until(() => getByTestId('a').textContent === '1001')
    const frames = Math.ceil((performance.now() - began) / 16) + 1
    expect(updates.map(({ value }) => value)).toEqual(Array.from({ length: 1_000 }, (_, index) => index + 2))
    expect(commits).toBeLessThanOrEqual(frames)
  })

  it('about one content do not render the hooks of others', async () => {
    const edge = await anEdge()
    let renders = 0
    const count = () => void renders++
    for (const id of ['a', 'b']) edge.count(id, 'views')
    const { getByTestId } = render(
      <>
        <Shown id="a" />
        <Shown id="b" onRender={count} />
      </>,
      { wrapper: providing(aClient(edge)) },
    )
    await until(() => getByTestId('a').textContent === '1' && getByTestId('b').textContent === '1')
    const before = renders
    for (let views = 2; views < 10; views++) {
      edge.count('a', 'views')
      await until(() => getByTestId('a').textContent === String(views))
    }
    expect(renders).toBe(before)
  })

  it('render a hook that shows the time of the last value, though its own contents are the same', async () => {
    const edge = await anEdge()
    for (const id of ['a', 'b']) edge.count(id, 'views')
    const wrapper = providing(aClient(edge))
    const other = renderHook(() => useRealTimeAnalytics({ contentIds: ['b'] }), { wrapper })
    const { result } = renderHook(
      () => {
        const { data, lastUpdatedAt } = useRealTimeAnalytics({ contentIds: ['a'] })
        return { data, lastUpdatedAt }
      },
      { wrapper },
    )
    await until(() => result.current.data.a && other.result.current.data.b)
    const { data, lastUpdatedAt } = result.current
    await until(() => Date.now() > Number(lastUpdatedAt))
    edge.count('b', 'views')
    await until(() => other.result.current.data.b?.views === 2)
    await until(() => Number(result.current.lastUpdatedAt) > Number(lastUpdatedAt))
    expect(result.current.data).toBe(data)
  })
})

describe('onUpdate', () => {
  it('is the newest function, and hears of the contents asked for only', async () => {
    const edge = await anEdge()
    const wrapper = providing(aClient(edge))
    const heard: string[] = []
    const hearing = (name: string) => (update: Update) => void heard.push(`${name} ${update.contentId} ${update.value}`)
    const other = renderHook(() => useRealTimeAnalytics({ contentIds: ['b'] }), { wrapper })
    const { result, rerender } = renderHook((options: RealTimeAnalyticsOptions) => useRealTimeAnalytics(options), {
      wrapper,
      initialProps: { contentIds: ['a'], onUpdate: hearing('one') } as RealTimeAnalyticsOptions,
    })
    await until(() => result.current.isLive && edge.open[0]?.ids.length === 2)
    edge.count('a', 'views')
    edge.count('b', 'views')
    await until(() => result.current.data.a?.views === 1 && other.result.current.data.b?.views === 1)
    rerender({ contentIds: ['a'], onUpdate: hearing('two') })
    edge.count('a', 'views')
    await until(() => result.current.data.a?.views === 2)
    rerender({ contentIds: ['a'] })
    edge.count('a', 'views')
    await until(() => result.current.data.a?.views === 3)
    rerender({ contentIds: ['a'], onUpdate: hearing('three') })
    edge.count('a', 'views')
    await until(() => result.current.data.a?.views === 4)
    expect(heard).toEqual(['one a 1', 'two a 2', 'three a 4'])
  })
})

describe('contentTypes', () => {
  it.each([
    ['one for all', 'video'],
    ['one for each id in the same order', ['article', 'video']],
    ['by id', { a: 'article', b: 'video' }],
  ])('%s', async (_, contentTypes) => {
    const edge = await anEdge()
    const client = aClient(edge)
    for (const id of ['a', 'b']) {
      edge.count(id, 'views', 60)
      edge.count(id, 'comments', 1)
    }
    const { result } = renderHook(() => useRealTimeAnalytics({ contentIds: ['a', 'b'], contentTypes }), {
      wrapper: providing(client),
    })
    await until(() => result.current.data.a?.comments === 1 && result.current.data.b?.comments === 1)
    const { a, b } = result.current.data
    expect(b).toBe(client.view().read('b', 'video'))
    expect(a).toBe(client.view().read('a', contentTypes === 'video' ? 'video' : 'article'))
    expect(a?.score === b?.score).toBe(contentTypes === 'video')
  })
})

describe('simulateUpdates', () => {
  it('needs no socket', async () => {
    const edge = await anEdge()
    const { result } = renderHook(
      () => useRealTimeAnalytics({ contentIds: ['a'], simulateUpdates: true, interval: 100 }),
      { wrapper: providing(aClient(edge)) },
    )
    await until(() => Number(result.current.data.a?.views) > 0)
    expect(result.current).toMatchObject({ source: 'simulated', status: 'idle' })
    expect(edge.upgrades).toBe(0)
  })
})
