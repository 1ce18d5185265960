// The route of a Next application before a real edge. The rule: what the contract says goes through unchanged, what it
// does not say stays outside, and a POST counts once whatever the way does.

import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { analyticsRoute } from '../../src/server'
import { type Edge, PRODUCTION, startEdge, token } from '../support/edge'
import { counterOf, fresh, hopTo, keysAt } from './edge'

const page = 'https://www.example.com/api/analytics'

/** Nothing listens there. */
const NOWHERE = 'http://127.0.0.1:1'

const QUIET = { logger: null, timeout: 5_000 }

const get = (path: string, init?: RequestInit) => new Request(`${page}/${path}`, init)

const post = (body: unknown, headers: Record<string, string> = {}, path = 'trigger-update') =>
  new Request(`${page}/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })

const bearer = (claims: Record<string, unknown>) => ({ authorization: `Bearer ${token(claims)}` })

let edge: Edge
let production: Edge
beforeAll(async () => {
  edge = await startEdge()
  production = await startEdge({ env: PRODUCTION })
}, 140_000)
afterAll(() => Promise.all([edge?.stop(), production?.stop()]))
afterEach(() => vi.unstubAllEnvs())

describe('what is read', () => {
  it.each([
    'content?id=a&id=b&organizationId=acme&clientId=web&type=video',
    'content?ids=a,b%2Cc',
    'performance-config',
    'performance-config/',
    'content?id=a&type=nothing',
    'content',
  ])('is what the edge answers: %s', async path => {
    const { GET } = analyticsRoute({ ...QUIET, url: edge.httpUrl })
    const [through, direct] = await Promise.all([GET(get(path)), fetch(`${edge.httpUrl}/api/analytics/${path}`)])
    expect(through.status).toBe(direct.status)
    expect(through.headers.get('content-type')).toBe('application/json')
    expect(through.headers.get('cache-control')).toBe('no-store')
    expect(await through.json()).toEqual(await direct.json())
  })

  it('is the status, and HEAD has no body', async () => {
    const { GET } = analyticsRoute({ ...QUIET, url: edge.httpUrl })
    const status = await GET(get('trigger-update'))
    expect(await status.json()).toMatchObject({ status: { simulationRunning: false, connectedClients: 0 } })
    const head = await GET(get('content?id=a', { method: 'HEAD' }))
    expect([head.status, await head.text()]).toEqual([200, ''])
  })

  it('is asked of the next address where one does not answer, or cannot now', async () => {
    const hop = await hopTo(edge)
    hop.order({ status: 503, body: '{"success":false,"error":"draining","code":"unavailable"}' })
    const { GET } = analyticsRoute({ ...QUIET, url: `${NOWHERE}, ${hop.url},${edge.httpUrl}/` })
    expect((await GET(get('content?id=a'))).status).toBe(200)
    expect(hop.seen).toHaveLength(1)
    // A refusal is an answer.
    expect((await GET(get('content'))).status).toBe(400)
    expect(hop.seen).toHaveLength(2)
  })

  it('is unavailable where no address answers, or only strangers do', async () => {
    const hop = await hopTo(edge)
    hop.order({ status: 200, headers: { 'content-type': 'text/html' }, body: '<h1>Welcome</h1>' })
    const { GET } = analyticsRoute({ ...QUIET, url: `${NOWHERE},${hop.url}` })
    const answer = await GET(get('content?id=a'))
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1'])
    expect(await answer.json()).toMatchObject({ success: false, code: 'unavailable' })
  })

  it('is the last refusal where every address refuses', async () => {
    const hop = await hopTo(edge)
    const body = '{"success":false,"error":"draining","code":"unavailable"}'
    hop.order({ status: 503, headers: { 'retry-after': '7' }, body })
    const answer = await analyticsRoute({ ...QUIET, url: hop.url }).GET(get('content?id=a'))
    expect([answer.status, answer.headers.get('retry-after'), await answer.text()]).toEqual([503, '7', body])
  })
})

describe('what is counted', () => {
  it('is counted once without a key of its own, though the answer was cut', async () => {
    const hop = await hopTo(edge)
    hop.order('cut', 'drop', { status: 502, acts: true })
    const { POST } = analyticsRoute({ ...QUIET, url: hop.url })
    const contentId = fresh()
    const answer = await POST(post({ contentId, field: 'views' }))
    expect(await answer.json()).toMatchObject({ success: true, contentId, value: 1 })
    expect(hop.seen).toHaveLength(4)
    expect(keysAt(hop)).toEqual([expect.stringMatching(/^[\da-f-]{36}$/)])
    expect(await counterOf(edge, contentId)).toMatchObject({ views: 1 })
  })

  it('keeps the key that it came with, and says what was replayed', async () => {
    const hop = await hopTo(edge)
    const { POST } = analyticsRoute({ ...QUIET, url: hop.url })
    const update = { contentId: fresh(), field: 'views' }
    const first = await POST(post(update, { 'idempotency-key': 'from-the-page' }))
    const again = await POST(post(update, { 'idempotency-key': 'from-the-page' }))
    expect([first, again].map(({ headers }) => headers.get('idempotency-replayed'))).toEqual([null, 'true'])
    expect(keysAt(hop)).toEqual(['from-the-page'])
    expect(await counterOf(edge, update.contentId)).toMatchObject({ views: 1 })
  })

  it('takes batches', async () => {
    const { POST } = analyticsRoute({ ...QUIET, url: edge.httpUrl })
    const contentId = fresh()
    const answer = await POST(
      post({
        updates: [
          { contentId, field: 'likes' },
          { contentId, field: 'nothing' },
        ],
      }),
    )
    expect(await answer.json()).toMatchObject({ success: true, results: [{ value: 1 }, { code: 'invalid_field' }] })
  })

  it('gets the refusals of the edge', async () => {
    const { POST } = analyticsRoute({ ...QUIET, url: edge.httpUrl })
    const update = { contentId: fresh(), field: 'likes' }
    const statuses = [
      await POST(post('{')),
      await POST(post({ ...update, increment: -1 })),
      await POST(post(update, { 'content-type': 'text/plain' })),
      await POST(post(update, { 'idempotency-key': 'two words' })),
    ].map(({ status }) => status)
    expect(statuses).toEqual([400, 409, 415, 400])
  })

  it('may have been counted where nobody said', async () => {
    const hop = await hopTo(edge)
    const unavailable = { status: 503, body: '{"success":false,"error":"draining","code":"unavailable"}' }
    hop.order('cut', unavailable)
    const { POST } = analyticsRoute({ ...QUIET, attempts: 2, url: hop.url })
    const answer = await POST(post({ contentId: fresh(), field: 'views' }))
    // "unavailable" would say that nothing was counted, which holds for the second attempt only.
    expect([answer.status, (await answer.json()).code]).toEqual([503, 'outcome_unknown'])
    hop.order(unavailable, { ...unavailable, headers: { 'retry-after': '3600' } })
    const sure = await POST(post({ contentId: fresh(), field: 'views' }))
    expect([sure.status, (await sure.json()).code, sure.headers.get('retry-after')]).toEqual([
      503,
      'unavailable',
      '3600',
    ])
  })

  it('is at most as large as the edge takes', async () => {
    const hop = await hopTo(edge)
    const { POST } = analyticsRoute({ ...QUIET, url: hop.url })
    const long = JSON.stringify({ contentId: fresh(), field: 'views', padding: ' '.repeat(1_048_576) })
    const declared = post(long, { 'content-length': String(long.length) })
    const answers = [await POST(declared), await POST(post(long))]
    for (const answer of answers) expect([answer.status, (await answer.json()).code]).toEqual([413, 'too_large'])
    expect(hop.seen).toHaveLength(0)
    const whole = JSON.stringify({ contentId: fresh(), field: 'views', padding: '' })
    const fitting = whole.replace('""', `"${' '.repeat(1_048_576 - whole.length)}"`)
    expect((await POST(post(fitting))).status).toBe(200)
  })
})

describe('who calls', () => {
  it('calls with a token of its own, and nothing else goes to the edge', async () => {
    const hop = await hopTo(production)
    const { GET, POST } = analyticsRoute({ ...QUIET, url: hop.url })
    const contentId = fresh()
    const own = bearer({ organizationId: 'acme', scope: 'analytics:write' })
    const more = { cookie: 'session=1', origin: 'https://elsewhere.test', 'x-forwarded-for': '10.0.0.1' }
    const answer = await POST(post({ contentId, field: 'views' }, { ...own, ...more }))
    expect(await answer.json()).toMatchObject({ organizationId: 'acme', value: 1 })
    const { content } = await (await GET(get(`content?id=${contentId}`, { headers: { ...own, ...more } }))).json()
    expect(content).toMatchObject([{ organizationId: 'acme', views: 1 }])
    for (const { headers } of hop.seen) {
      expect(headers.authorization).toBe(own.authorization)
      expect(Object.keys(more).filter(name => name in headers)).toEqual([])
    }
  })

  it('may have its token in the query', async () => {
    const { GET } = analyticsRoute({ ...QUIET, url: production.httpUrl })
    expect((await GET(get(`content?id=a&token=${token()}`))).status).toBe(200)
  })

  it('is refused by the edge without one', async () => {
    const { GET, POST } = analyticsRoute({ ...QUIET, url: production.httpUrl })
    for (const answer of [await GET(get('content?id=a')), await POST(post({ contentId: 'a', field: 'views' }))]) {
      expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([401, 'Bearer'])
      expect(await answer.json()).toMatchObject({ success: false, code: 'unauthorized' })
    }
  })

  it('reads with the token of the route, never with both', async () => {
    const hop = await hopTo(production)
    const getToken = vi.fn(async (request: Request) => token({ organizationId: request.headers.get('x-tenant') }))
    const { GET } = analyticsRoute({ ...QUIET, url: hop.url, getToken })
    const headers = { ...bearer({ organizationId: 'other' }), 'x-tenant': 'acme' }
    const answer = await GET(get(`content?id=a&token=${token()}`, { headers }))
    expect((await answer.json()).content).toMatchObject([{ organizationId: 'acme' }])
    expect(hop.seen.map(({ url }) => url)).toEqual(['/api/analytics/content?id=a'])
    const without = analyticsRoute({ ...QUIET, url: production.httpUrl, getToken: () => null })
    expect((await without.GET(get('content?id=a', { headers }))).status).toBe(401)
  })

  it('counts with the token of the route only where the route says that it may', async () => {
    const contentId = fresh()
    const url = production.httpUrl
    const getToken = () => token({ organizationId: 'acme', scope: 'analytics:write' })
    const authorize = (request: Request) => request.headers.get('x-member') === 'yes'
    const count = (options: object, headers = {}) =>
      analyticsRoute({ ...QUIET, url, ...options }).POST(post({ contentId, field: 'views' }, headers))
    const statuses = [
      await count({ getToken }),
      await count({ getToken }, bearer({ organizationId: 'acme', scope: 'analytics:write' })),
      await count({ getToken, authorize }),
      await count({ getToken, authorize }, { 'x-member': 'yes' }),
      await count({ authorize }, bearer({ organizationId: 'acme', scope: 'analytics:write' })),
    ].map(({ status }) => status)
    expect(statuses).toEqual([403, 403, 403, 200, 403])
    expect(await counterOf(production, contentId, token({ organizationId: 'acme' }))).toMatchObject({ views: 1 })
  })
})

describe("what is not the contract's", () => {
  it.each(['nothing', 'content/a', '', 'constructor', 'content%2F'])('is not found: %j', async path => {
    const { GET, POST } = analyticsRoute({ ...QUIET, url: NOWHERE })
    for (const answer of [await GET(get(path)), await POST(post({}, {}, path))]) {
      expect([answer.status, answer.headers.get('cache-control')]).toEqual([404, 'no-store'])
      expect(await answer.json()).toMatchObject({ success: false, code: 'not_found' })
    }
  })

  it('is another method', async () => {
    const { POST } = analyticsRoute({ ...QUIET, url: NOWHERE })
    const answer = await POST(post({}, {}, 'content'))
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
    expect(await answer.json()).toMatchObject({ success: false, code: 'method_not_allowed' })
  })

  it('is a route without an address, in production', async () => {
    vi.stubEnv('ANALYTICS_API_URL', '')
    vi.stubEnv('NODE_ENV', 'production')
    const warn = vi.fn()
    const { GET } = analyticsRoute({ logger: { debug: vi.fn(), info: vi.fn(), warn } })
    const answer = await GET(get('content?id=a'))
    expect(answer.status).toBe(500)
    expect(await answer.json()).toMatchObject({ code: 'internal', error: expect.stringContaining('ANALYTICS_API_URL') })
    expect(warn).toHaveBeenCalledOnce()
    vi.stubEnv('ANALYTICS_API_URL', edge.httpUrl)
    expect((await GET(get('content?id=a'))).status).toBe(200)
  })

  it('is an error of the application, whose text stays inside', async () => {
    const getToken = () => Promise.reject(new Error('the vault at 10.0.0.1 is closed'))
    const answer = await analyticsRoute({ ...QUIET, url: NOWHERE, getToken }).GET(get('content?id=a'))
    expect(answer.status).toBe(500)
    expect(await answer.text()).not.toContain('vault')
  })
})
