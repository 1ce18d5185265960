// The edge's thresholds are asked for once; an edge that refuses to tell is left alone for minutes.

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { testClient, testEdge } from '../support/client'
import { until } from '../support/until'

beforeEach(() => {
  vi.spyOn(Math, 'random').mockReturnValue(0)
  vi.useFakeTimers({ toFake: ['Date'] })
})
afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

const PATH = '/api/analytics/performance-config'

test.each([
  [429, 'rate_limited'],
  [404, 'not_found'],
] as const)(
  'an edge that answers %i is not asked again at every flush, but after some minutes',
  async (status, code) => {
    const edge = await testEdge()
    edge.refusePath(PATH, { status, code })
    const warn = vi.fn()
    const client = testClient({ url: edge.wsUrl, logger: { debug: () => {}, info: () => {}, warn } })
    const asked = () => edge.requests.filter(({ url }) => url === PATH).length
    let views = 0
    let shown = 0
    client.subscribe(() => {
      shown = client.view().read('a')?.views ?? 0
    })
    const flush = async () => {
      edge.count('a', 'views')
      views++
      await until(() => shown === views, 'a flush')
    }
    client.watch(['a'])
    await until(() => warn.mock.calls.length === 1, 'the refusal')
    for (let times = 0; times < 3; times++) await flush()
    expect(asked()).toBe(1)
    // Half of five minutes at least.
    vi.setSystemTime(Date.now() + 149_000)
    await flush()
    expect(asked()).toBe(1)
    vi.setSystemTime(Date.now() + 2_000)
    await flush()
    await until(() => asked() === 2, 'the second question')
  },
)
