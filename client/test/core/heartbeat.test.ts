// Silence is asked about, and only an unanswered question ends a socket.

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Heartbeat } from '../../src/heartbeat'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

function start() {
  const ping = vi.fn()
  const dead = vi.fn()
  return { ping, dead, heartbeat: new Heartbeat(ping, dead) }
}

test('25 s of silence bring a ping, 10 s more the end', () => {
  const { ping, dead } = start()
  vi.advanceTimersByTime(24_999)
  expect(ping).not.toHaveBeenCalled()
  vi.advanceTimersByTime(1)
  expect(ping).toHaveBeenCalledTimes(1)
  vi.advanceTimersByTime(9_999)
  expect(dead).not.toHaveBeenCalled()
  vi.advanceTimersByTime(1)
  expect(dead).toHaveBeenCalledTimes(1)
})

test('any frame counts as an answer, and as no silence', () => {
  const { ping, dead, heartbeat } = start()
  for (let second = 0; second < 120; second += 20) {
    vi.advanceTimersByTime(20_000)
    heartbeat.heard()
  }
  expect(ping).not.toHaveBeenCalled()
  vi.advanceTimersByTime(26_000)
  expect(ping).toHaveBeenCalledTimes(1)
  heartbeat.heard()
  vi.advanceTimersByTime(20_000)
  expect(dead).not.toHaveBeenCalled()
})

test('a timer that fires much too late asks again instead of ending a socket that may live', () => {
  const { ping, dead, heartbeat } = start()
  heartbeat.doubt()
  // The machine slept: the clock has moved, the timers have not.
  vi.setSystemTime(Date.now() + 3_600_000)
  vi.advanceTimersByTime(5_000)
  expect(dead).not.toHaveBeenCalled()
  expect(ping).toHaveBeenCalledTimes(2)
  vi.advanceTimersByTime(5_000)
  expect(dead).toHaveBeenCalledTimes(1)
})

test('nothing happens after its end', () => {
  const { ping, dead, heartbeat } = start()
  heartbeat.doubt()
  heartbeat.stop()
  vi.advanceTimersByTime(3_600_000)
  expect(ping).toHaveBeenCalledTimes(1)
  expect(dead).not.toHaveBeenCalled()
})

test('an answer within the same millisecond as its question counts', () => {
  const { ping, dead, heartbeat } = start()
  ping.mockImplementation(() => heartbeat.heard())
  heartbeat.doubt()
  vi.advanceTimersByTime(120_000)
  // The one that was asked for, and one after each silence.
  expect(ping).toHaveBeenCalledTimes(1 + 4)
  expect(dead).not.toHaveBeenCalled()
})

test('doubts again and again do not keep a dead socket', () => {
  const { ping, dead, heartbeat } = start()
  heartbeat.doubt()
  vi.advanceTimersByTime(4_000)
  heartbeat.doubt()
  vi.advanceTimersByTime(999)
  expect(dead).not.toHaveBeenCalled()
  vi.advanceTimersByTime(1)
  expect(dead).toHaveBeenCalledTimes(1)
  expect(ping).toHaveBeenCalledTimes(1)
})

test('a doubt shortens the wait for an answer that may take longer, and does not lengthen one', () => {
  const early = start()
  vi.advanceTimersByTime(25_000)
  early.heartbeat.doubt()
  expect(early.ping).toHaveBeenCalledTimes(2)
  vi.advanceTimersByTime(5_000)
  expect(early.dead).toHaveBeenCalledTimes(1)
  const late = start()
  vi.advanceTimersByTime(25_000 + 6_000)
  late.heartbeat.doubt()
  vi.advanceTimersByTime(4_000)
  expect(late.dead).toHaveBeenCalledTimes(1)
})
