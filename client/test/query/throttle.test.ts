// When derived data is fetched again, by a clock that the test moves. The rule: spread, apart, and one at a time.

import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { throttle } from '../../src/query/throttle'

const DISTANCE = 1_000

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** A throttle, and when it ran, in milliseconds from its making. */
function timed() {
  const made = performance.now()
  const runs: number[] = []
  return { runs, ...throttle(() => void runs.push(performance.now() - made), DISTANCE) }
}

it('runs half a distance to a whole one after the first of many calls, elsewhere for everybody', () => {
  const all = Array.from({ length: 200 }, timed)
  for (const { call } of all) {
    call()
    call()
  }
  vi.advanceTimersByTime(10 * DISTANCE)
  const runs = all.flatMap(({ runs }) => runs)
  expect(runs).toHaveLength(200)
  expect(Math.min(...runs)).toBeGreaterThanOrEqual(DISTANCE / 2)
  expect(Math.max(...runs)).toBeLessThanOrEqual(DISTANCE)
  expect(new Set(runs.map(run => Math.floor(run / 100))).size).toBeGreaterThanOrEqual(5)
})

it('keeps its runs apart, and its last call is never without a run', () => {
  const { runs, call } = timed()
  for (let time = 0; time < 10 * DISTANCE; time += 7) {
    call()
    vi.advanceTimersByTime(7)
  }
  call()
  vi.advanceTimersByTime(2 * DISTANCE)
  runs.slice(1).forEach((run, index) => void expect(run - Number(runs[index])).toBeGreaterThanOrEqual(DISTANCE))
  expect(runs.length).toBeGreaterThanOrEqual(9)
  expect(runs.at(-1)).toBeGreaterThan(10 * DISTANCE)
})

it('takes its full time again when it is started anew, and nothing runs twice', () => {
  vi.spyOn(Math, 'random').mockReturnValue(0)
  const { runs, call, restart } = timed()
  call()
  vi.advanceTimersByTime(DISTANCE / 2 - 1)
  restart()
  call()
  vi.advanceTimersByTime(DISTANCE / 2 - 1)
  expect(runs).toEqual([])
  vi.advanceTimersByTime(10 * DISTANCE)
  expect(runs).toEqual([DISTANCE - 1])
  vi.restoreAllMocks()
})

it('does not run after it was cancelled', () => {
  const { runs, call, cancel } = timed()
  call()
  cancel()
  vi.advanceTimersByTime(10 * DISTANCE)
  expect(runs).toEqual([])
})
