// How many sockets hooks open. The rule: as many as there are scopes, however often React mounts.

import { render, renderHook } from '@testing-library/react'
import { StrictMode } from 'react'
import { describe, expect, it, vi } from 'vitest'
import { useAnalyticsConnection, useRealTimeAnalytics } from '../../src/react'
import { aClient, anEdge, atEnd, letGo, providing, until } from '../support/hooks'

function Views({ id }: { id: string }) {
  const { data, status } = useRealTimeAnalytics({ contentIds: [id] })
  return <p data-testid={id}>{`${status} ${data[id]?.views ?? '-'}`}</p>
}

describe('one socket', () => {
  it('for a hook in StrictMode, which mounts twice', async () => {
    const edge = await anEdge()
    edge.count('a', 'views', 3)
    const wrapper = providing(aClient(edge))
    const { getByTestId } = render(
      <StrictMode>
        <Views id="a" />
      </StrictMode>,
      { wrapper },
    )
    await until(() => getByTestId('a').textContent === 'live 3')
    expect(edge.upgrades).toBe(1)
    expect(edge.connections[0]?.received).toEqual([{ type: 'subscribe', contentIds: ['a'] }])
  })

  it('for many hooks, that are told of all their contents in one message', async () => {
    const edge = await anEdge()
    const ids = Array.from({ length: 50 }, (_, index) => `article-${index}`)
    for (const id of ids) edge.count(id, 'views', 7)
    const { getByTestId } = render(
      ids.map(id => <Views key={id} id={id} />),
      { wrapper: providing(aClient(edge)) },
    )
    await until(() => ids.every(id => getByTestId(id).textContent === 'live 7'))
    expect(edge.upgrades).toBe(1)
    expect(edge.connections[0]?.received).toEqual([{ type: 'subscribe', contentIds: ids }])
  })

  it('for a remount within the release delay, without a message', async () => {
    const edge = await anEdge()
    const client = aClient(edge, { releaseDelay: 1_000 })
    const wrapper = providing(client)
    const first = render(<Views id="a" />, { wrapper })
    await until(() => edge.open[0]?.received.length === 1)
    first.unmount()
    // Turns go by before the remount, and what nobody shows is still told.
    edge.count('a', 'views')
    await until(() => client.view().read('a')?.views === 1)
    render(<Views id="a" />, { wrapper })
    expect(await letGo(client, edge)).toEqual([])
    expect(edge.upgrades).toBe(1)
    expect(edge.open[0]?.ids).toEqual(['a'])
  })

  it('for each scope', async () => {
    const edge = await anEdge()
    const wrapper = providing(aClient(edge))
    edge.count('a', 'views', 1, { organizationId: 'acme' })
    edge.count('a', 'views', 2, { organizationId: 'acme', clientId: 'web' })
    edge.count('a', 'views', 4, { organizationId: 'acme', clientId: 'app' })
    const all = renderHook(() => useRealTimeAnalytics({ contentIds: ['a'], organizationId: 'acme' }), { wrapper })
    const web = renderHook(() => useRealTimeAnalytics({ contentIds: ['a'], organizationId: 'acme', clientId: 'web' }), {
      wrapper,
    })
    await until(() => all.result.current.data.a?.views === 7 && web.result.current.data.a?.views === 3)
    expect(edge.upgrades).toBe(2)
  })
})

describe('the end', () => {
  it('comes a release delay after the last hook has left', async () => {
    // Would anything come back, it would at once.
    const random = vi.spyOn(Math, 'random').mockReturnValue(0)
    atEnd(() => random.mockRestore())
    const edge = await anEdge()
    const client = aClient(edge)
    const wrapper = providing(client)
    const one = render(<Views id="a" />, { wrapper })
    const two = render(<Views id="a" />, { wrapper })
    await until(() => edge.open[0]?.ids.join() === 'a')
    one.unmount()
    expect(await letGo(client, edge)).toEqual([])
    expect(edge.open[0]?.ids).toEqual(['a'])
    two.unmount()
    await until(() => edge.open.length === 0)
    // Nothing came back by itself: the next hook finds no socket, and asks for its own content alone.
    render(<Views id="b" />, { wrapper })
    await until(() => edge.open[0]?.ids.length === 1)
    expect(edge.open[0]?.received).toEqual([{ type: 'subscribe', contentIds: ['b'] }])
    expect(await letGo(client, edge)).toEqual([])
    expect(edge.upgrades).toBe(2)
  })

  it('comes for contents that are not asked for any more', async () => {
    const edge = await anEdge()
    const { rerender } = renderHook(({ ids }) => useRealTimeAnalytics({ contentIds: ids }), {
      wrapper: providing(aClient(edge)),
      initialProps: { ids: ['a', 'b'] },
    })
    await until(() => edge.open[0]?.ids.length === 2)
    rerender({ ids: ['b', 'c'] })
    await until(() => edge.open[0]?.ids.join() === 'b,c')
    expect(edge.upgrades).toBe(1)
  })
})

describe('enabled', () => {
  it('watches nothing while it is false, and shows what was known', async () => {
    const edge = await anEdge()
    edge.count('a', 'views', 3)
    const client = aClient(edge)
    const { result, rerender } = renderHook(({ enabled }) => useRealTimeAnalytics({ contentIds: ['a'], enabled }), {
      wrapper: providing(client),
      initialProps: { enabled: false },
    })
    expect(result.current).toMatchObject({ status: 'idle', source: null, isLive: false, isStale: false, error: null })
    expect(edge.upgrades).toBe(0)
    // Who watches after it has the socket alone.
    const release = client.watch(['other'])
    await until(() => client.getSnapshot().isLive)
    expect(edge.open[0]?.received).toEqual([{ type: 'subscribe', contentIds: ['other'] }])
    expect(result.current).toMatchObject({ status: 'idle', source: null })
    release()
    await until(() => edge.open.length === 0)

    rerender({ enabled: true })
    await until(() => result.current.data.a?.views === 3)
    expect(result.current).toMatchObject({ status: 'live', source: 'socket', isLive: true, isStale: false })

    const shown = result.current.data
    rerender({ enabled: false })
    expect(result.current).toMatchObject({ status: 'idle', source: null, isLive: false, isStale: true })
    edge.count('a', 'views')
    await until(() => edge.open.length === 0)
    rerender({ enabled: false })
    expect(result.current.data).toEqual(shown)

    rerender({ enabled: true })
    await until(() => result.current.data.a?.views === 4)
    expect(edge.upgrades).toBe(3)
  })
})

describe('useAnalyticsConnection', () => {
  it('opens nothing by itself, and follows what others open', async () => {
    const edge = await anEdge()
    const wrapper = providing(aClient(edge))
    const { result } = renderHook(() => useAnalyticsConnection(), { wrapper })
    expect(result.current.status).toBe('idle')
    expect(edge.upgrades).toBe(0)

    render(<Views id="a" />, { wrapper })
    await until(() => result.current.status === 'live')
    expect(edge.upgrades).toBe(1)
    expect(edge.open[0]?.received).toEqual([{ type: 'subscribe', contentIds: ['a'] }])
  })

  it('reconnects at once when it is told to, by a function that stays the same', async () => {
    const edge = await anEdge()
    const wrapper = providing(aClient(edge))
    render(<Views id="a" />, { wrapper })
    const { result } = renderHook(() => useAnalyticsConnection(), { wrapper })
    const { reconnect } = result.current
    await until(() => result.current.status === 'live')
    edge.close(1000, 'enough')
    await until(() => result.current.status === 'failed')
    result.current.reconnect()
    await until(() => result.current.status === 'live')
    expect(edge.upgrades).toBe(2)
    expect(result.current.reconnect).toBe(reconnect)
  })
})

describe('without a provider', () => {
  it('connects to the edge of the environment, for the organization of the environment', async () => {
    const edge = await anEdge()
    vi.stubEnv('NEXT_PUBLIC_WS_URL', edge.wsUrl)
    vi.stubEnv('NEXT_PUBLIC_ORGANIZATION_ID', 'acme')
    vi.stubEnv('NEXT_PUBLIC_CLIENT_ID', 'web')
    const silent = (['debug', 'info'] as const).map(level => vi.spyOn(console, level).mockReturnValue())
    try {
      edge.count('a', 'views', 2, { organizationId: 'acme', clientId: 'web' })
      edge.count('a', 'views', 4, { organizationId: 'other' })
      const own = renderHook(() => useRealTimeAnalytics({ contentIds: ['a'] }))
      const other = renderHook(() => useRealTimeAnalytics({ contentIds: ['a'], organizationId: 'other' }))
      await until(() => own.result.current.data.a?.views === 2 && other.result.current.data.a?.views === 4)
      expect(edge.open.map(({ scope }) => scope)).toEqual([
        { organizationId: 'acme', clientId: 'web' },
        { organizationId: 'other' },
      ])
      own.unmount()
      other.unmount()
      await until(() => edge.open.length === 0)
    } finally {
      vi.unstubAllEnvs()
      for (const spy of silent) spy.mockRestore()
    }
  })
})
