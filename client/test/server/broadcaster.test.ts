// Counting from a server through a hop that fails. The rule: against a real edge, and whatever the hop does, what was
// called once is counted once.

import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import type { TriggerAnswer } from '../../src/http.gen'
import { analyticsBroadcaster, BroadcastError, createBroadcaster } from '../../src/server'
import { type Edge, PRODUCTION, startEdge, token } from '../support/edge'
import type { Fault } from '../support/hop'
import { counterOf, fresh, hopTo, keysAt } from './edge'

const error = (code: string, retryAfter?: string): Fault => ({
  status: 503,
  headers: retryAfter === undefined ? {} : { 'retry-after': retryAfter },
  body: JSON.stringify({ success: false, error: 'told so', code }),
})

/** Far more than one attempt of a healthy edge takes, far less than a test may. */
const PATIENT = { attempts: 30, timeout: 2_000, totalTimeout: 50_000, logger: null }

const refused = async (call: Promise<unknown>): Promise<BroadcastError> => {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error instanceof BroadcastError) return error
  throw new Error(`a BroadcastError was expected, not ${error}`)
}

let edge: Edge
beforeAll(async () => {
  edge = await startEdge()
}, 70_000)
afterAll(() => edge?.stop())
afterEach(() => {
  vi.unstubAllEnvs()
  vi.unstubAllGlobals()
})

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

describe('a failure', () => {
  it('comes at once where the edge asks for more patience than there is', async () => {
    const hop = await hopTo(edge)
    hop.order(error('unavailable', '3600'))
    const { triggerRealUpdate } = createBroadcaster({ ...PATIENT, url: hop.url })
    const failed = await refused(triggerRealUpdate(fresh(), 'views'))
    expect(failed).toMatchObject({
      name: 'BroadcastError',
      code: 'unavailable',
      status: 503,
      message: 'told so',
      counted: 'no',
    })
    expect(hop.seen).toHaveLength(1)
  })

  it('names the key under which the call can be made again', async () => {
    const hop = await hopTo(edge)
    hop.order('cut', error('unavailable'))
    const { triggerRealUpdate } = createBroadcaster({ url: hop.url, attempts: 2, logger: null })
    const contentId = fresh()
    const failed = await refused(triggerRealUpdate(contentId, 'views'))
    expect(failed).toMatchObject({ code: 'unavailable', counted: 'unknown' })
    const { idempotencyKey } = failed
    expect(await triggerRealUpdate(contentId, 'views', 1, undefined, undefined, { idempotencyKey })).toMatchObject({
      value: 1,
    })
  })

  it('is "network" where nothing answers, and says what happened', async () => {
    const hop = await hopTo(edge)
    hop.order('drop', 'drop')
    const { triggerRealUpdate } = createBroadcaster({ url: hop.url, attempts: 2, logger: null })
    const failed = await refused(triggerRealUpdate(fresh(), 'views'))
    expect(failed).toMatchObject({ code: 'network', status: undefined, counted: 'unknown' })
    expect(failed.message).toMatch(/gave no answer \(fetch failed: .+\)/)
    expect(failed.cause).toBeInstanceOf(Error)
  })

  it.each([
    ['a redirect', { status: 301, headers: { location: 'https://elsewhere.test/' } }],
    ['a page that is not found', { status: 404, headers: { 'content-type': 'text/html' }, body: '<h1>Not found</h1>' }],
  ])('comes at once after %s, which no edge sends', async (_, stranger) => {
    const hop = await hopTo(edge)
    hop.order(stranger)
    const { triggerRealUpdate } = createBroadcaster({ ...PATIENT, url: hop.url })
    const failed = await refused(triggerRealUpdate(fresh(), 'views'))
    expect(failed).toMatchObject({ code: 'network', status: stranger.status, counted: 'no' })
    expect(failed.message).toContain('is not the edge')
    expect(hop.seen).toHaveLength(1)
  })

  it("is the edge's own refusal, not repeated", async () => {
    const hop = await hopTo(edge)
    const { triggerRealUpdate } = createBroadcaster({ ...PATIENT, url: hop.url })
    expect(await refused(triggerRealUpdate(fresh(), 'likes', -1))).toMatchObject({ code: 'out_of_range', status: 409 })
    expect(await refused(triggerRealUpdate(fresh(), 'likes', 0))).toMatchObject({ code: 'invalid_field', status: 400 })
    expect(await refused(triggerRealUpdate('', 'likes'))).toMatchObject({ code: 'invalid_field' })
    const options = { idempotencyKey: 'the-same' }
    await triggerRealUpdate(fresh(), 'likes', 1, undefined, undefined, options)
    const other = refused(triggerRealUpdate(fresh(), 'likes', 1, undefined, undefined, options))
    expect(await other).toMatchObject({ code: 'idempotency_mismatch', status: 422 })
    expect(hop.seen).toHaveLength(5)
  })

  it.each(['', 'two words', 'ключ', 'k'.repeat(129)])(
    'is "invalid_field" for the key %j, and then nothing was sent',
    async idempotencyKey => {
      const hop = await hopTo(edge)
      const { triggerRealUpdate } = createBroadcaster({ ...PATIENT, url: hop.url })
      const call = triggerRealUpdate(fresh(), 'views', 1, undefined, undefined, { idempotencyKey })
      expect(await refused(call)).toMatchObject({ code: 'invalid_field', counted: 'no' })
      expect(hop.seen).toHaveLength(0)
    },
  )

  it('is "token" where none could be had, and then nothing was sent', async () => {
    const hop = await hopTo(edge)
    const getToken = () => Promise.reject(new Error('no vault'))
    const { triggerRealUpdate } = createBroadcaster({ ...PATIENT, url: hop.url, getToken })
    expect(await refused(triggerRealUpdate(fresh(), 'views'))).toMatchObject({ code: 'token', counted: 'no' })
    expect(hop.seen).toHaveLength(0)
  })

  it.each([
    '',
    'edge.example.com',
    'ftp://edge.example.com',
    'https://user:secret@edge.example.com',
    'https://edge.example.com/?a=1',
  ])('is "configuration" for the address %j, and tells no secret', url => {
    const create = () => createBroadcaster({ url })
    expect(create).toThrow(BroadcastError)
    expect(create).toThrow(/^url must be like https:\/\/edge\.example\.com(?!.*secret)/)
  })

  it('is "configuration" for a patience that is none', () => {
    expect(() => createBroadcaster({ url: edge.httpUrl, attempts: 0 })).toThrow(
      'attempts must be a number from 1, not 0',
    )
    expect(() => createBroadcaster({ url: edge.httpUrl, timeout: Number.NaN })).toThrow('timeout')
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

describe('the broadcaster of the environment', () => {
  it('reads address and token at each call', async () => {
    const production = await startEdge({ env: PRODUCTION })
    try {
      vi.stubEnv('ANALYTICS_API_URL', `${production.httpUrl}/, http://127.0.0.1:1`)
      const contentId = fresh()
      expect(await refused(analyticsBroadcaster.triggerRealUpdate(contentId, 'views'))).toMatchObject({
        code: 'unauthorized',
        status: 401,
      })
      vi.stubEnv('ANALYTICS_API_TOKEN', token())
      expect(await refused(analyticsBroadcaster.triggerRealUpdate(contentId, 'views'))).toMatchObject({
        code: 'forbidden',
        status: 403,
      })
      vi.stubEnv('ANALYTICS_API_TOKEN', token({ scope: 'analytics:write:any' }))
      expect(await analyticsBroadcaster.triggerRealUpdate(contentId, 'views', 2, 'acme')).toMatchObject({ value: 2 })
      const { results } = await analyticsBroadcaster.triggerRealUpdates([
        { contentId, field: 'views', organizationId: 'acme' },
      ])
      expect(results).toMatchObject([{ value: 3 }])
      expect(await counterOf(production, contentId, token({ organizationId: 'acme' }))).toMatchObject({ views: 3 })
    } finally {
      await production.stop()
    }
  }, 140_000)

  it('takes the usual address in development, and none in production', async () => {
    const asked = vi.fn<typeof fetch>(async () => Response.json({ success: true, value: 1, version: 1 }))
    vi.stubGlobal('fetch', asked)
    vi.stubEnv('ANALYTICS_API_URL', '')
    vi.stubEnv('ANALYTICS_API_TOKEN', '')
    await analyticsBroadcaster.triggerRealUpdate('a', 'views')
    expect(asked.mock.calls[0]?.[0]).toBe('http://localhost:3001/api/analytics/trigger-update')
    expect(new Headers(asked.mock.calls[0]?.[1]?.headers).has('authorization')).toBe(false)
    vi.stubEnv('NODE_ENV', 'production')
    const failed = await refused(analyticsBroadcaster.triggerRealUpdate('a', 'views'))
    expect(failed).toMatchObject({ code: 'configuration', counted: 'no' })
    expect(failed.message).toContain('ANALYTICS_API_URL must be set')
    expect(asked).toHaveBeenCalledTimes(1)
  })
})
