// Counts that do not go through, and where the default broadcaster counts. The rule: a failure says what it was, whether
// anything may have been counted, and comes no later than it must.

import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { analyticsBroadcaster, BroadcastError, createBroadcaster } from '../../src/server'
import { type Edge, PRODUCTION, startEdge, token } from '../support/edge'
import { counterOf, error, fresh, hopTo, PATIENT, refused } from './edge'

let edge: Edge
beforeAll(async () => {
  edge = await startEdge()
}, 70_000)
afterAll(() => edge?.stop())
afterEach(() => {
  vi.unstubAllEnvs()
  vi.unstubAllGlobals()
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
