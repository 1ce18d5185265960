// Counts in TanStack Query. The rule: the cache holds the client's own objects, moves with them, and is asked for nothing
// that was pushed.

import { QueryClient, QueryClientProvider, useQuery } from '@tanstack/react-query'
import { render, renderHook } from '@testing-library/react'
import type { ReactNode } from 'react'
import { describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { type AnalyticsQueryOptions, analyticsQueryKey, analyticsQueryOptions, bindQueryClient } from '../../src/query'
import type { AnalyticsClient, ClientOptions } from '../../src/types'
import type { FakeEdge } from '../support/fake-edge'
import { aClient, anEdge, atEnd, until } from '../support/hooks'

interface Bound {
  client: AnalyticsClient
  queryClient: QueryClient
  wrapper(props: { children: ReactNode }): ReactNode
  unbind(): void
}

function bound(edge: FakeEdge, options: Partial<ClientOptions> = {}): Bound {
  const client = aClient(edge, options)
  const queryClient = new QueryClient({ defaultOptions: { queries: { retryDelay: 1 } } })
  const unbind = bindQueryClient(client, queryClient)
  atEnd(() => queryClient.clear())
  atEnd(unbind)
  return {
    client,
    queryClient,
    unbind,
    wrapper: ({ children }) => <QueryClientProvider client={queryClient}>{children}</QueryClientProvider>,
  }
}

type Shown = Map<string, number | undefined>

function Views({ id, client, shown }: { id: string; client: AnalyticsClient; shown: Shown }) {
  shown.set(id, useQuery(analyticsQueryOptions(client, id)).data?.views)
  return null
}

/** One that never gets through, as behind a proxy that knows no upgrades. */
class NoWebSocket extends WebSocket {
  constructor(url: string, protocols?: string | string[]) {
    super(url.replace('/analytics', '/nowhere'), protocols)
  }
}

describe('a query with an observer', () => {
  it('shows what is pushed, as the client has it, and asks for nothing by HTTP', async () => {
    const edge = await anEdge()
    edge.count('a', 'views', 3)
    const { client, wrapper, queryClient } = bound(edge)
    const { result } = renderHook(() => useQuery(analyticsQueryOptions(client, 'a')), { wrapper })
    await until(() => result.current.data?.views === 3)
    edge.count('a', 'views')
    await until(() => result.current.data?.views === 4)
    expect(result.current.data).toBe(client.view().read('a'))
    expect(queryClient.getQueryData(analyticsQueryKey('a'))).toBe(client.view().read('a'))
    await until(() => result.current.fetchStatus === 'idle')
    expect(edge.requests).toEqual([])
  })

  it('is watched for as long as it has one that is enabled', async () => {
    const edge = await anEdge()
    const { client, wrapper } = bound(edge)
    const options = (id: string, enabled: boolean) => ({ ...analyticsQueryOptions(client, id), enabled })
    const { rerender, unmount } = renderHook(({ id, enabled }) => useQuery(options(id, enabled)), {
      wrapper,
      initialProps: { id: 'a', enabled: false },
    })
    expect(edge.upgrades).toBe(0)
    // Who watches after it has the socket alone.
    const release = client.watch(['other'])
    await until(() => client.getSnapshot().isLive)
    expect(edge.open[0]?.received).toEqual([{ type: 'subscribe', contentIds: ['other'] }])
    rerender({ id: 'a', enabled: true })
    await until(() => edge.open[0]?.ids.join() === 'other,a')
    release()
    await until(() => edge.open[0]?.ids.join() === 'a')
    rerender({ id: 'b', enabled: true })
    await until(() => edge.open[0]?.ids.join() === 'b')
    unmount()
    await until(() => edge.open.length === 0)
    expect(edge.upgrades).toBe(1)
  })

  it('was there before the binding, and is let go by its end', async () => {
    const edge = await anEdge()
    edge.count('a', 'views', 3)
    const client = aClient(edge)
    const queryClient = new QueryClient()
    atEnd(() => queryClient.clear())
    const { result } = renderHook(() => useQuery(analyticsQueryOptions(client, 'a'), queryClient))
    await until(() => result.current.data?.views === 3)
    await until(() => edge.open.length === 0)
    const unbind = bindQueryClient(client, queryClient)
    edge.count('a', 'views')
    await until(() => result.current.data?.views === 4)
    unbind()
    await until(() => edge.open.length === 0)
    expect(queryClient.getQueryCache().hasListeners()).toBe(false)
  })

  it('renders once for all that a frame brought, and not for the contents of others', async () => {
    const edge = await anEdge()
    for (const id of ['a', 'b']) edge.count(id, 'views')
    const { client, wrapper, queryClient } = bound(edge)
    const renders = { a: 0, b: 0 }
    const one = renderHook(
      () => {
        renders.a++
        return useQuery(analyticsQueryOptions(client, 'a')).data
      },
      { wrapper },
    )
    const other = renderHook(
      () => {
        renders.b++
        return useQuery(analyticsQueryOptions(client, 'b')).data
      },
      { wrapper },
    )
    await until(() => one.result.current?.views === 1 && other.result.current?.views === 1)
    // What is still to be told of the beginning is told before a change that comes after it.
    await until(() => queryClient.isFetching() === 0)
    edge.count('a', 'views')
    await until(() => one.result.current?.views === 2)
    const before = { ...renders }
    const began = performance.now()
    for (let times = 0; times < 1_000; times++) edge.count('a', 'views')
    await until(() => one.result.current?.views === 1_002)
    const frames = Math.ceil((performance.now() - began) / 16) + 1
    expect(renders.a - before.a).toBeLessThanOrEqual(frames)
    expect(renders.b).toBe(before.b)
  })

  it('keeps what the application put there until the content changes', async () => {
    const edge = await anEdge()
    edge.count('a', 'views', 3)
    const { client, wrapper, queryClient } = bound(edge)
    const { queryKey } = analyticsQueryOptions(client, 'a')
    const { result } = renderHook(() => useQuery(analyticsQueryOptions(client, 'a')), { wrapper })
    const other = renderHook(() => useQuery(analyticsQueryOptions(client, 'b')), { wrapper })
    await until(() => result.current.data?.views === 3 && other.result.current.data)
    queryClient.setQueryData(queryKey, content => content && { ...content, likes: content.likes + 1 })
    edge.count('b', 'views')
    await until(() => other.result.current.data?.views === 1)
    expect(result.current.data?.likes).toBe(1)
    edge.count('a', 'likes', 2)
    await until(() => result.current.data?.likes === 2)
  })

  it('has a scope and a type of its own', async () => {
    const edge = await anEdge()
    const { client, wrapper } = bound(edge)
    const acme = { scope: { organizationId: 'acme' } }
    edge.count('a', 'views', 2, acme.scope)
    edge.count('a', 'views', 60)
    const show = (options: AnalyticsQueryOptions) =>
      renderHook(() => useQuery(analyticsQueryOptions(client, 'a', options)), { wrapper }).result
    const shared = show({})
    const video = show({ contentType: 'video' })
    const own = show(acme)
    await until(() => shared.current.data && video.current.data && own.current.data?.views === 62)
    expect(shared.current.data?.views).toBe(60)
    expect(video.current.data).toBe(client.view().read('a', 'video'))
    expect(video.current.data?.score).not.toBe(shared.current.data?.score)
    expect(edge.open.map(({ scope }) => scope)).toEqual([{}, acme.scope])
  })
})

describe('a query without an observer', () => {
  it('moves with what others watch, while it is in the cache', async () => {
    const edge = await anEdge()
    const { client, queryClient } = bound(edge)
    const release = client.watch(['a'])
    atEnd(release)
    await queryClient.fetchQuery(analyticsQueryOptions(client, 'a'))
    edge.count('a', 'views')
    await until(() => queryClient.getQueryData(analyticsQueryKey('a')) === client.view().read('a'))
    expect(client.view().read('a')?.views).toBe(1)
    queryClient.clear()
    edge.count('a', 'views')
    await until(() => client.view().read('a')?.views === 2)
    expect(queryClient.getQueryCache().getAll()).toEqual([])
  })
})

describe('while the socket is down', () => {
  it('a poll answers, one for all queries that begin together', async () => {
    const edge = await anEdge()
    const ids = Array.from({ length: 20 }, (_, index) => `article-${index}`)
    for (const id of ids) edge.count(id, 'views', 7)
    const { client, wrapper, queryClient } = bound(edge, { WebSocket: NoWebSocket })
    const shown: Shown = new Map()
    render(
      ids.map(id => <Views key={id} id={id} client={client} shown={shown} />),
      { wrapper },
    )
    await until(() => ids.every(id => shown.get(id) === 7) && queryClient.isFetching() === 0)
    // The client's own question why its socket failed, and the queries'.
    expect(edge.requests.length).toBeLessThanOrEqual(2)
    expect(edge.requests.at(-1)?.url).toBe(`/api/analytics/content?${ids.map(id => `id=${id}`).join('&')}`)
  })

  it('a client that has given up says why, and is not asked again', async () => {
    const edge = await anEdge({ judge: () => ({ status: 403, code: 'forbidden', error: 'not for you' }) })
    const { client, wrapper } = bound(edge)
    const { result } = renderHook(() => useQuery(analyticsQueryOptions(client, 'a')), { wrapper })
    await until(() => result.current.isError)
    expect(result.current.error).toMatchObject({ name: 'AnalyticsError', code: 'forbidden', message: 'not for you' })
    expect(result.current.failureCount).toBe(1)
  })

  it('an id that is none is an error, not an endless wait', async () => {
    const edge = await anEdge()
    const { client, wrapper } = bound(edge)
    const { result } = renderHook(() => useQuery({ ...analyticsQueryOptions(client, ''), retry: false }), { wrapper })
    await until(() => result.current.isError)
    expect(edge.upgrades).toBe(0)
  })
})
