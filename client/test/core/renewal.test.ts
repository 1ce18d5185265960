// A token is renewed in time by the edge's clock, and never more often than it gains time.

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Renewal } from '../../src/renewal'
import { Tokens } from '../../src/tokens'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const MINUTE = 60_000

function start(getToken: () => string) {
  const asked = vi.fn(getToken)
  const failed = vi.fn()
  const renewed: string[] = []
  const renewal: Renewal = new Renewal(new Tokens(asked), token => void renewed.push(token), failed)
  return { asked, failed, renewed, renewal }
}

test.each([0, -60 * MINUTE, 60 * MINUTE])(
  'a minute before its end, on a machine whose clock is off by %i ms',
  async skew => {
    const { asked, renewed, renewal } = start(() => 'fresh')
    const edge = Date.now() + skew
    renewal.plan(edge + 30 * MINUTE, edge)
    await vi.advanceTimersByTimeAsync(29 * MINUTE - 1)
    expect(asked).not.toHaveBeenCalled()
    await vi.advanceTimersByTimeAsync(1)
    expect(renewed).toEqual(['fresh'])
  },
)

test('a token that gained no time is not renewed again', async () => {
  const { asked, renewal } = start(() => 'the same')
  const end = Date.now() + MINUTE
  renewal.plan(end, Date.now())
  await vi.advanceTimersByTimeAsync(54_000)
  expect(asked).toHaveBeenCalledTimes(1)
  renewal.plan(end, Date.now())
  await vi.advanceTimersByTimeAsync(60 * MINUTE)
  expect(asked).toHaveBeenCalledTimes(1)
})

test('a token that has ended already is asked for after a second, not at once', async () => {
  const { asked, renewal } = start(() => 'fresh')
  renewal.plan(Date.now() - MINUTE, Date.now())
  await vi.advanceTimersByTimeAsync(999)
  expect(asked).not.toHaveBeenCalled()
  await vi.advanceTimersByTimeAsync(1)
  expect(asked).toHaveBeenCalledTimes(1)
})

test('a failure is tried again while there is time', async () => {
  const { asked, failed, renewal } = start(() => {
    throw new Error('no session')
  })
  renewal.plan(Date.now() + 10 * MINUTE, Date.now())
  await vi.advanceTimersByTimeAsync(10 * MINUTE)
  expect(failed).toHaveBeenCalledTimes(asked.mock.calls.length)
  expect(asked.mock.calls.length).toBeGreaterThan(3)
  expect(asked.mock.calls.length).toBeLessThan(12)
})

test('nothing follows its end', async () => {
  const { asked, renewal } = start(() => 'fresh')
  renewal.plan(Date.now() + MINUTE, Date.now())
  renewal.stop()
  await vi.advanceTimersByTimeAsync(60 * MINUTE)
  expect(asked).not.toHaveBeenCalled()
})
