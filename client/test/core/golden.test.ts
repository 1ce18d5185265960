// The golden wire files of `shared/golden` as TypeScript. The rule: every file is here once, typed as what it is; the
// compiler holds the types to it, and the test holds it to the file.

import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, expectTypeOf, it } from 'vitest'
import type { ClientMessage, ServerMessage } from '../../src/wire.gen'

const folder = new URL('../../../shared/golden/', import.meta.url)

const golden = (name: string): unknown => JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8'))

/** A message that may say more than its type knows: the edge ignores that. */
const withMore = <T extends ClientMessage>(message: T): ClientMessage => message

const fromClients: Readonly<Record<string, ClientMessage>> = {
  'client-authenticate': { type: 'authenticate', token: 'header.claims.signature' },
  'client-ping': { type: 'ping' },
  'client-subscribe': { type: 'subscribe', contentIds: ['article-1', 'article-2'] },
  'client-subscribe-add': { type: 'subscribe', contentIds: ['article-3'], mode: 'add' },
  'client-subscribe-client': { type: 'subscribe', contentIds: ['article-1'], organizationId: 'acme', clientId: 'web' },
  'client-subscribe-client-alone': { type: 'subscribe', contentIds: ['article-1'], clientId: 'web' },
  'client-subscribe-none': { type: 'subscribe', contentIds: [] },
  'client-subscribe-nulls-and-unknown-fields': withMore({
    extra: { deep: [1] },
    type: 'subscribe',
    contentIds: ['article-1'],
    organizationId: null,
    clientId: null,
    mode: null,
  }),
  'client-subscribe-odd-ids': {
    type: 'subscribe',
    contentIds: [' a ', 'A', 'a', 'caf\u00e9', 'caf\u00e9', 'cafe\u0301', '"\\/', '\u{1f44d}'],
  },
  'client-subscribe-organization': { type: 'subscribe', contentIds: ['article-1'], organizationId: 'acme' },
  'client-subscribe-repeated-ids': { type: 'subscribe', contentIds: ['b', 'a', 'b', 'c', 'a'] },
  'client-unsubscribe': { type: 'unsubscribe' },
  'client-unsubscribe-null': { type: 'unsubscribe', contentIds: null },
  'client-unsubscribe-some': { type: 'unsubscribe', contentIds: ['article-2', 'article-1'] },
}

const timestamp = 1_700_000_000_000

const update = { type: 'analytics_update', contentId: 'article-1', timestamp } as const

const fromTheEdge: Readonly<Record<string, ServerMessage>> = {
  'server-analytics-update': { ...update, field: 'views', value: 42, version: 7_864_321 },
  'server-analytics-update-client': {
    ...update,
    field: 'shares',
    value: Number.MAX_SAFE_INTEGER,
    organizationId: 'acme',
    clientId: 'web',
    version: Number.MAX_SAFE_INTEGER,
  },
  'server-analytics-update-odd-ids': {
    type: 'analytics_update',
    contentId: '"\\/ caf\u00e9 \u{1f44d}',
    field: 'comments',
    value: 1,
    timestamp: 0,
    organizationId: ' a ',
    version: 1,
  },
  'server-analytics-update-organization': {
    ...update,
    field: 'likes',
    value: 0,
    organizationId: 'acme',
    version: 7_864_322,
  },
  'server-authenticated': { type: 'authenticated', expiresAt: 1_700_003_600_000, timestamp },
  'server-connected': { type: 'connected', clientId: '4f2a-17', timestamp, base: 7_864_320 },
  'server-error': { type: 'error', error: 'contentIds must be an array of ids', code: 'invalid_field', timestamp },
  'server-pong': { type: 'pong', timestamp },
  'server-subscribed': { type: 'subscribed', contentIds: ['article-1', 'article-2'], timestamp },
  'server-subscribed-client': {
    type: 'subscribed',
    contentIds: ['article-1'],
    organizationId: 'acme',
    clientId: 'web',
    timestamp,
  },
  'server-subscribed-none': { type: 'subscribed', contentIds: [], timestamp },
  'server-subscribed-organization': {
    type: 'subscribed',
    contentIds: ['article-1'],
    organizationId: 'acme',
    timestamp,
  },
}

const all: Readonly<Record<string, unknown>> = { ...fromClients, ...fromTheEdge }

describe('the golden files', () => {
  it.each(Object.entries(all))('%s', (name, message) => {
    expect(golden(name)).toEqual(message)
  })

  it('are all here', () => {
    const names = readdirSync(folder).map(file => file.replace(/\.json$/, ''))
    expect(Object.keys(all).sort()).toEqual(names.sort())
  })
})

describe('the types', () => {
  it('tell the messages apart', () => {
    type Of<T extends ServerMessage['type']> = Extract<ServerMessage, { type: T }>
    expectTypeOf<Of<'connected'>['base']>().toEqualTypeOf<number>()
    expectTypeOf<Of<'analytics_update'>['organizationId']>().toEqualTypeOf<string | undefined>()
  })

  it('refuse what is no message', () => {
    // @ts-expect-error a subscription names its contents
    withMore({ type: 'subscribe' })
    // @ts-expect-error there is one mode
    withMore({ type: 'subscribe', contentIds: [], mode: 'replace' })
    // @ts-expect-error no client says so
    withMore({ type: 'pong' })
  })
})
