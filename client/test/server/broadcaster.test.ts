// Counting from a server through a hop that fails. The rule: against a real edge, and whatever the hop does, what was
// called once is counted once.

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { TriggerAnswer } from '../../src/http.gen'
import { createBroadcaster } from '../../src/server'
import { type Edge, startEdge } from '../support/edge'
import type { Fault } from '../support/hop'
import { counterOf, error, fresh, hopTo, keysAt, PATIENT, refused } from './edge'

let edge: Edge
beforeAll(async () => {
  edge = await startEdge()
}, 70_000)
afterAll(() => edge?.stop())

describe('a count', () => {
  it('returns what the counter is after it', async () => {
    const { triggerRealUpdate } = createBroadcaster({ url: edge.httpUrl, logger: null })
    const contentId = fresh()
    const one = await triggerRealUpdate(contentId, 'likes')
    expect(one).toMatchObject({ success: true, contentId, field: 'likes', value: 1 })
    const two = await triggerRealUpdate(contentId, 'likes', 41, 'acme', 'web')
    expect(two).toMatchObject({ organizationId: 'acme', clientId: 'web', value: 41 })
    expect(await counterOf(edge, contentId)).toMatchObject({ likes: 1, version: one.version })
  })

  const faults: [string, Fault][] = [
    ['the connection ends before the edge hears of it', 'drop'],
    ['the connection ends after the edge counted', 'cut'],
    ['the answer never comes', 'hold'],
    ['503 unavailable', error('unavailable')],
    ['503 outcome_unknown, and it was counted', { ...Object(error('outcome_unknown')), acts: true }],
    ['429 rate_limited', { ...Object(error('rate_limited')), status: 429 }],
    [
      '502 with the page of a gateway',
      { status: 502, headers: { 'content-type': 'text/html' }, body: '<h1>Bad gateway</h1>', acts: true },
    ],
    ['504 of a gateway, and it was counted', { status: 504, acts: true }],
    [
      '200 with a page of something in between',
      { status: 200, headers: { 'content-type': 'text/html' }, body: '<h1>Welcome</h1>' },
    ],
    ['200 with half an answer', { status: 200, acts: body => body.slice(0, -20) }],
  ]
  it.each(faults)('is exact after: %s', async (_, fault) => {
    const hop = await hopTo(edge)
    hop.order(fault, fault)
    const { triggerRealUpdate } = createBroadcaster({
      ...PATIENT,
      url: hop.url,
      timeout: fault === 'hold' ? 300 : 5_000,
    })
    const contentId = fresh()
    expect((await triggerRealUpdate(contentId, 'views', 3)).value).toBe(3)
    expect(hop.seen).toHaveLength(3)
    expect(keysAt(hop)).toHaveLength(1)
    expect(await counterOf(edge, contentId)).toMatchObject({ views: 3 })
  })

  it('is exact among many at once, whatever happens to each', async () => {
    const hop = await hopTo(edge)
    const all = faults.map(([, fault]) => fault)
    let turn = 0
    // Every second attempt passes; the others meet all faults in turn.
    hop.decide(() => (++turn % 2 === 0 ? 'pass' : (all[((turn - 1) / 2) % all.length] ?? 'pass')))
    const { triggerRealUpdate } = createBroadcaster({ ...PATIENT, url: hop.url, timeout: 500 })
    const contentId = fresh()
    await Promise.all(Array.from({ length: 40 }, (_, index) => triggerRealUpdate(contentId, 'shares', index + 1)))
    expect(await counterOf(edge, contentId)).toMatchObject({ shares: (40 * 41) / 2 })
  }, 60_000)

  it('is exact across a crash of the edge', async () => {
    const { triggerRealUpdate } = createBroadcaster({ ...PATIENT, url: edge.httpUrl })
    const contentId = fresh()
    const acknowledged: TriggerAnswer[] = []
    const counts = Array.from({ length: 200 }, async () => {
      acknowledged.push(await triggerRealUpdate(contentId, 'comments'))
    })
    await vi.waitUntil(() => acknowledged.length > 0, { timeout: 30_000, interval: 1 })
    await edge.kill()
    await edge.restart()
    await Promise.all(counts)
    expect(await counterOf(edge, contentId)).toMatchObject({ comments: 200 })
  }, 120_000)

  it('comes again no sooner than it was told', async () => {
    const hop = await hopTo(edge)
    hop.order(error('unavailable', '1'), error('unavailable', new Date(Date.now() + 3_000).toUTCString()))
    const logger = { debug: vi.fn(), info: vi.fn(), warn: vi.fn() }
    const { triggerRealUpdate } = createBroadcaster({ ...PATIENT, url: hop.url, logger })
    await triggerRealUpdate(fresh(), 'views')
    const [first, second, third] = hop.seen.map(({ at }) => at)
    expect((second ?? 0) - (first ?? 0)).toBeGreaterThanOrEqual(990)
    expect((third ?? 0) - (first ?? 0)).toBeGreaterThanOrEqual(1_900)
    expect(logger.info.mock.calls.map(([text]) => text)).toEqual([
      expect.stringMatching(/^analytics: the edge answered with 503; the count is sent again in \d+ ms$/),
      expect.stringContaining('answered with 503'),
    ])
  })
})

describe('a batch', () => {
  it('is answered in order, each member by itself', async () => {
    const { triggerRealUpdates } = createBroadcaster({ ...PATIENT, url: edge.httpUrl })
    const contentId = fresh()
    const { results } = await triggerRealUpdates([
      { contentId, field: 'views', increment: 5 },
      { contentId, field: 'likes', increment: -1 },
      { contentId, field: 'views' },
    ])
    expect(results).toMatchObject([
      { success: true, value: 5 },
      { success: false, code: 'out_of_range' },
      { success: true, value: 6 },
    ])
  })

  it('is sent again as a whole while members are unfinished, and each counts once', async () => {
    const hop = await hopTo(edge)
    const unfinished = (body: string) => {
      const answer = JSON.parse(body)
      answer.results[1] = { success: false, error: 'told so', code: 'outcome_unknown' }
      return JSON.stringify(answer)
    }
    hop.order('cut', { status: 200, acts: unfinished })
    const { triggerRealUpdates } = createBroadcaster({ ...PATIENT, url: hop.url })
    const contentId = fresh()
    const { results } = await triggerRealUpdates([
      { contentId, field: 'views' },
      { contentId, field: 'likes', increment: 2 },
    ])
    expect(results).toMatchObject([
      { success: true, value: 1, replayed: true },
      { success: true, value: 2, replayed: true },
    ])
    expect(hop.seen).toHaveLength(3)
    expect(await counterOf(edge, contentId)).toMatchObject({ views: 1, likes: 2 })
  })

  it('that stays unfinished is answered with the last that was told', async () => {
    const hop = await hopTo(edge)
    const results = [{ success: false, error: 'told so', code: 'unavailable' }]
    hop.order({ status: 200, body: JSON.stringify({ success: true, results }) }, 'drop')
    const { triggerRealUpdates } = createBroadcaster({ url: hop.url, attempts: 2, logger: null })
    expect(await triggerRealUpdates([{ contentId: fresh(), field: 'views' }])).toEqual({ success: true, results })
  })

  it('of more than the edge takes is refused', async () => {
    const { triggerRealUpdates } = createBroadcaster({ ...PATIENT, url: edge.httpUrl })
    expect(await refused(triggerRealUpdates([]))).toMatchObject({ code: 'invalid_field', status: 400 })
  })
})
