// The recorder. The rule tested: gains are measured from the first settled state, whatever came before it.

import { describe, expect, it, vi } from 'vitest'
import { movers } from '../../demo/src/movers'
import { darkStretches, MOST_SERIES, pointsOf } from '../../demo/src/points'
import { Recorder } from '../../demo/src/recorder'

const counts = (views: number, likes = 0) => ({ views, likes, shares: 0, comments: 0 })
const START = 1_700_000_000_000
const at = (second: number) => START + second * 1000

describe('Recorder', () => {
  it('does not take zeros for a beginning when the store was only slower than the first row', () => {
    const recorder = new Recorder(['a'], START)
    recorder.sample({ a: counts(0) }, false, START)
    recorder.see({ a: counts(500) }, START + 40)
    expect(recorder.baseline('a', START + 40)).toBeUndefined()
    recorder.sample({ a: counts(500) }, true, at(1))
    recorder.sample({ a: counts(512) }, true, at(2))
    expect(recorder.baseline('a', at(2))?.views).toBe(500)
    expect(recorder.gained('a', 'views')).toEqual([null, 0, 12])
    expect(recorder.gain('a', 60_000).views).toBe(12)
  })

  it('counts a content that is new from zero', () => {
    const recorder = new Recorder(['new'], START)
    for (let second = 0; second < 5; second++) recorder.sample({ new: counts(0) }, true, at(second))
    recorder.sample({ new: counts(7, 2) }, true, at(5))
    expect(recorder.gain('new', 60_000)).toEqual(counts(7, 2))
  })

  it('forgets gains that are older than the window, and keeps those within', () => {
    const recorder = new Recorder(['a'], START)
    for (let second = 0; second <= 100; second++) recorder.sample({ a: counts(second * 10) }, true, at(second))
    expect(recorder.gain('a', 60_000).views).toBe(600)
    expect(recorder.gain('a', 10_000).views).toBe(100)
  })

  it('says that a count went down', () => {
    const recorder = new Recorder(['a'], START)
    for (const [second, likes] of [
      [0, 3],
      [1, 3],
      [2, 1],
    ] as const)
      recorder.sample({ a: counts(9, likes) }, true, at(second))
    expect(recorder.gain('a', 60_000).likes).toBe(-2)
  })

  it('knows contents that are not there as unknown', () => {
    const recorder = new Recorder(['a', 'b'], START)
    recorder.sample({ a: counts(1) }, true, at(0))
    recorder.sample({ a: counts(1) }, true, at(1))
    expect(recorder.gained('b', 'views')).toEqual([null, null])
    expect(recorder.gain('b', 60_000)).toEqual(counts(0))
  })

  it('tells its listeners of each row', () => {
    const recorder = new Recorder(['a'], START)
    const listener = vi.fn()
    const stop = recorder.subscribe(listener)
    recorder.sample({}, true, at(0))
    stop()
    recorder.sample({}, true, at(1))
    expect(listener).toHaveBeenCalledTimes(1)
    expect(recorder.getSnapshot()).toBe(2)
  })
})

describe('pointsOf', () => {
  it('draws as many lines as can be told apart, over as many rows as are kept', () => {
    const ids = Array.from({ length: MOST_SERIES + 2 }, (_, index) => `content-${index}`)
    const recorder = new Recorder(ids, START, 5)
    for (let second = 0; second < 9; second++) recorder.sample({}, second % 2 === 0, at(second))
    const points = pointsOf(recorder, 'views')
    expect(points.series.map(series => series.id)).toEqual(ids.slice(0, MOST_SERIES))
    expect(points.times).toEqual([4, 5, 6, 7, 8].map(second => at(second) / 1000))
    expect(points.live).toEqual([true, false, true, false, true])
  })

  it('names the stretches that were not live, each up to the row that was', () => {
    const points = { times: [10, 11, 12, 13, 14], live: [true, false, false, true, false], series: [] }
    expect(darkStretches(points)).toEqual([
      [11, 13],
      [14, 14],
    ])
    expect(darkStretches({ times: [], live: [], series: [] })).toEqual([])
  })
})

describe('movers', () => {
  it('puts what is trending first, then what moved most, and leaves out what did not move', () => {
    const recorder = new Recorder(['still', 'slow', 'fast', 'hot'], START)
    const data = (step: number) => ({
      still: { ...counts(5), trending: false },
      slow: { ...counts(step), trending: false },
      fast: { ...counts(step * 50), trending: false },
      hot: { ...counts(step * 2), trending: true },
    })
    for (let second = 0; second < 4; second++) recorder.sample(data(second), true, at(second))
    const list = movers(recorder, data(3), 10)
    expect(list.map(mover => mover.id)).toEqual(['hot', 'fast', 'slow'])
    expect(list[1]?.gain.views).toBe(100)
    expect(movers(recorder, data(3), 1)).toHaveLength(1)
  })
})
