// Every wait is spread over its whole range, and every close code of the edge has its answer.

import { afterEach, expect, test, vi } from 'vitest'
import { afterClose, backoff, later } from '../../src/backoff'
import { RECONNECT } from '../../src/wire.gen'

afterEach(() => void vi.restoreAllMocks())

const drawing = (share: number) => vi.spyOn(Math, 'random').mockReturnValue(share)

test('a wait goes from nothing to a range that doubles up to half a minute', () => {
  drawing(0)
  expect(backoff(5)).toBe(0)
  drawing(1)
  expect([0, 1, 2, 3, 4, 9].map(backoff)).toEqual([4_000, 8_000, 16_000, 30_000, 30_000, 30_000])
})

test('a wait that was told is kept, and spread widely behind', () => {
  drawing(0)
  expect(later(3_000, 0)).toBe(3_000)
  drawing(1)
  expect(later(3_000, 0)).toBe(13_000)
})

test.each(Object.entries(RECONNECT))('close code %s asks for: %s', (code, answer) => {
  drawing(0.5)
  const next = afterClose(Number(code), 'retry-after=1500', 0)
  const expected = {
    no: null,
    backoff: { wait: 2_000, reason: 'connect' },
    later: { wait: 6_500, reason: 'connect' },
    'fresh-token': { wait: 0, reason: 'expired' },
  }[answer]
  expect(next).toEqual(expected)
})

test('a code that is not of the edge is a broken line; a second end of a token is not answered at once', () => {
  drawing(0.5)
  expect(afterClose(1006, '', 0)).toEqual({ wait: 2_000, reason: 'connect' })
  expect(afterClose(4401, '', 1)).toEqual({ wait: 4_000, reason: 'expired' })
  expect(afterClose(1012, 'retry-after=soon', 0)?.wait).toBe(5_000)
})
