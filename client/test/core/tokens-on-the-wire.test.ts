// Tokens between the client and an edge: renewed before their end, refused, forbidden, and never there for all to read.

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { ClientOptions, TokenContext } from '../../src/types'
import { testClient, testEdge } from '../support/client'
import { token } from '../support/edge'
import { until } from '../support/until'

/** Waits are drawn from the beginning of their range, so that no test waits. */
beforeEach(() => void vi.spyOn(Math, 'random').mockReturnValue(0))
afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

test('a token that ends is renewed on the same connection', async () => {
  let minted = 0
  const soon = () => token({ exp: Math.floor(Date.now() / 1000) + 2, n: ++minted })
  const edge = await testEdge({
    judge: given => (given ? { expiresAt: Date.now() + 2_000 } : { status: 401, code: 'unauthorized' as const }),
  })
  const client = testClient({ url: edge.wsUrl, getToken: soon })
  client.watch(['a'])
  await until(() => edge.connections[0]?.received.some(message => message.type === 'authenticate'), 'the renewal')
  expect(edge.upgrades).toBe(1)
  expect(client.getSnapshot().isLive).toBe(true)
})

test('4401 brings a fresh token at once', async () => {
  const reasons: string[] = []
  const edge = await testEdge()
  const client = testClient({ url: edge.wsUrl, getToken: ({ reason }) => `t${reasons.push(reason)}` })
  client.watch(['a'])
  await until(() => client.getSnapshot().isLive, 'live')
  edge.close(4401)
  await until(() => edge.upgrades === 2, 'the second connection')
  await until(() => client.getSnapshot().isLive, 'live again')
  expect(reasons).toEqual(['connect', 'expired'])
  expect(edge.connections[1]?.token).toBe('t2')
})

test('a refused token is renewed once, then it is over, with the edge’s reason', async () => {
  const reasons: string[] = []
  const edge = await testEdge({ judge: () => ({ status: 401, code: 'unauthorized', error: 'the signature is wrong' }) })
  const client = testClient({ url: edge.wsUrl, getToken: ({ reason }) => `t${reasons.push(reason)}` })
  client.watch(['a'])
  await until(() => client.getSnapshot().status === 'failed', 'the end')
  expect(client.getSnapshot().error).toMatchObject({ code: 'unauthorized', message: 'the signature is wrong' })
  expect(reasons).toEqual(['connect', 'expired'])
})

test('a getToken that fails is tried again, and named', async () => {
  let broken = true
  const edge = await testEdge()
  const getToken = () => {
    if (broken) throw new Error('no session yet')
    return 'good'
  }
  const client = testClient({ url: edge.wsUrl, getToken, interval: 100 })
  client.watch(['a'])
  await until(() => client.getSnapshot().error?.code === 'token', 'the failure')
  broken = false
  await until(() => client.getSnapshot().isLive, 'live')
  expect(edge.connections[0]?.token).toBe('good')
})

test('a scope that is forbidden is the end, and the others live', async () => {
  const edge = await testEdge()
  const client = testClient({ url: edge.wsUrl })
  client.watch(['a'], { organizationId: 'acme' })
  client.watch(['a'], { organizationId: 'other' })
  await until(() => edge.connections.length === 2, 'two sockets')
  await until(() => client.getSnapshot({ organizationId: 'acme' }).isLive, 'live')
  const connection = edge.connections.find(({ scope }) => scope.organizationId === 'other')
  connection?.send({ type: 'error', error: 'outside the token', code: 'forbidden', timestamp: 1 })
  await until(() => client.getSnapshot({ organizationId: 'other' }).status === 'failed', 'the end of one')
  expect(client.getSnapshot({ organizationId: 'acme' }).isLive).toBe(true)
  expect(client.getSnapshot().status).toBe('failed')
})

/** A client, and everything that it ever says: its errors, and what it logs. */
function outspoken(options: ClientOptions) {
  const said: string[] = []
  const hear = (...words: unknown[]) => void said.push(words.map(String).join(' '))
  const client = testClient({ ...options, logger: { debug: hear, info: hear, warn: hear } })
  client.subscribe(() => hear(client.getSnapshot().error))
  return { client, said }
}

test('a getToken that gives a page is a failure of it, is tried again, and nothing repeats the page', async () => {
  const given = ['<!doctype html><p>Sign in</p>', '<!doctype html><p>Sign in</p>', 'good']
  const edge = await testEdge()
  const { client, said } = outspoken({ url: edge.wsUrl, getToken: () => given.shift() })
  client.watch(['a'])
  await until(() => client.getSnapshot().error?.code === 'token', 'the failure')
  expect(client.getSnapshot().status).not.toBe('failed')
  await until(() => client.getSnapshot().isLive, 'live')
  expect(edge.connections[0]?.token).toBe('good')
  expect(said.join()).toContain('getToken failed')
  expect(said.join()).not.toContain('Sign in')
})

test('a WebSocket that complains of its token is not quoted', async () => {
  class Complaining {
    constructor(_: string, protocols?: string[]) {
      throw new SyntaxError(`the subprotocol '${protocols?.[1]}' is invalid`)
    }
  }
  const edge = await testEdge()
  const { client, said } = outspoken({ url: edge.wsUrl, WebSocket: Complaining, getToken: () => 'a-secret' })
  client.watch(['a'])
  await until(() => client.getSnapshot().status === 'failed', 'the end')
  expect(client.getSnapshot().error).toMatchObject({ code: 'configuration' })
  expect(client.getSnapshot().error?.message).toContain('SyntaxError')
  expect(said.join()).not.toContain('a-secret')
})

test('the error of a renewal is gone after one that worked', async () => {
  const edge = await testEdge()
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'], now: 1_700_000_000_000 })
  const exp = Date.now() / 1_000 + 20
  let broken = true
  const getToken = ({ reason }: TokenContext) => {
    if (reason === 'expired' && broken) throw new Error('no session yet')
    return token({ exp, reason })
  }
  const client = testClient({ url: edge.wsUrl, getToken })
  client.watch(['a'])
  await until(() => client.getSnapshot().isLive, 'live')
  await vi.advanceTimersByTimeAsync(18_000)
  expect(client.getSnapshot()).toMatchObject({ status: 'live', error: { code: 'token' } })
  broken = false
  // Half of what is left, and before the silence that brings a ping.
  await vi.advanceTimersByTimeAsync(1_000)
  await until(() => client.getSnapshot().error === null, 'the end of the error')
  expect(client.getSnapshot().isLive).toBe(true)
  expect(edge.connections[0]?.token).toBe(token({ exp, reason: 'expired' }))
  expect(edge.upgrades).toBe(1)
})
