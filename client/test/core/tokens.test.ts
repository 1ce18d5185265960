// One call of the application's `getToken` for all needs at once, and a failure that says what it is.

import { expect, test, vi } from 'vitest'
import { expiryOf, Tokens } from '../../src/tokens'
import { token } from '../support/edge'

test('needs at once share a call; the next need is a new one', async () => {
  const getToken = vi.fn(async () => `t${getToken.mock.calls.length}`)
  const tokens = new Tokens(getToken)
  expect(await Promise.all([tokens.get('connect'), tokens.get('connect')])).toEqual(['t1', 't1'])
  expect(await tokens.get('connect')).toBe('t2')
  expect(tokens.current).toBe('t2')
})

test('who needs a fresh one does not get what is fetched for a connect, the other way round is fine', async () => {
  const getToken = vi.fn(async ({ reason }: { reason: string }) => reason)
  const tokens = new Tokens(getToken)
  expect(await Promise.all([tokens.get('connect'), tokens.get('expired'), tokens.get('connect')])).toEqual([
    'connect',
    'expired',
    'expired',
  ])
})

test('without getToken there is no token; an empty one is none', async () => {
  expect(await new Tokens(undefined).get('connect')).toBeNull()
  expect(await new Tokens(() => '').get('connect')).toBeNull()
})

test('a getToken that throws or never answers is an error that names it', async () => {
  const failing = new Tokens(() => {
    throw new Error('no session')
  })
  await expect(failing.get('connect')).rejects.toMatchObject({ code: 'token', message: 'getToken failed: no session' })
  vi.useFakeTimers()
  const hanging = new Tokens(() => new Promise(() => {})).get('connect')
  const answer = expect(hanging).rejects.toMatchObject({ code: 'token' })
  await vi.advanceTimersByTimeAsync(30_000)
  await answer
  vi.useRealTimers()
})

test('the end of a JWT is read from it; of anything else there is none', () => {
  expect(expiryOf(token({ exp: 1_700_000_000, sub: 'ünï' }))).toBe(1_700_000_000_000)
  for (const odd of ['', 'a.b.c', 'opaque', token({ exp: 'soon' })]) expect(expiryOf(odd)).toBeNull()
})

test.each(['<!doctype html><p>Sign in</p>', 'two words', 'new\nline'])(
  'what is no token is an error without its words: %j',
  async page => {
    const tokens = new Tokens(() => page)
    await expect(tokens.get('connect')).rejects.toMatchObject({
      code: 'token',
      message: 'getToken failed: what it gave is no token',
    })
    expect(tokens.current).toBeNull()
  },
)
