// The meter. The rule tested: its figures are those of what came, and a fresh subscription's old values are no lag.

import { describe, expect, it } from 'vitest'
import { Meter, SECONDS } from '../../demo/src/meter'

const START = 1_700_000_000_000
const update = (timestamp: number, version = 1, source = 'socket') =>
  ({ contentId: 'a', field: 'views', version, timestamp, source }) as const

describe('Meter', () => {
  it('counts by second, with zeros where nothing came', () => {
    const meter = new Meter()
    for (const [second, count] of [
      [0, 3],
      [2, 5],
    ] as const) {
      for (let index = 0; index < count; index++) meter.add(update(START), START + second * 1000 + index)
    }
    const seconds = meter.perSecond(START + 3_500)
    expect(seconds).toHaveLength(SECONDS)
    expect(seconds.slice(-4)).toEqual([0, 3, 0, 5])
    expect(meter.rate(START + 3_500)).toBeCloseTo(0.8)
    expect(meter.total).toBe(8)
  })

  it('does not count the second that is under way', () => {
    const meter = new Meter()
    meter.add(update(START), START)
    expect(meter.rate(START + 999)).toBe(0)
    expect(meter.rate(START + 1_000)).toBeCloseTo(0.1)
  })

  it('forgets what is older than it looks back, also after a long silence', () => {
    const meter = new Meter()
    meter.add(update(START), START)
    expect(meter.perSecond(START + SECONDS * 1000).reduce((a, b) => a + b)).toBe(1)
    expect(meter.perSecond(START + (SECONDS + 1) * 1000).reduce((a, b) => a + b)).toBe(0)
    meter.add(update(START), START + 86_400_000)
    expect(meter.perSecond(START + 86_401_000).reduce((a, b) => a + b)).toBe(1)
  })

  it('measures only what was committed while it was live, and never less than nothing', () => {
    const meter = new Meter()
    meter.add(update(START), START + 5)
    expect(meter.lag()).toBeNull()
    meter.live(true, START + 100)
    meter.live(true, START + 900)
    meter.add(update(START + 50), START + 110)
    meter.add(update(START + 200, 2, 'poll'), START + 2_200)
    expect(meter.lag()).toBeNull()
    for (let lag = 1; lag <= 100; lag++) meter.add(update(START + 1_000), START + 1_000 + lag)
    meter.add(update(START + 1_000), START + 990)
    expect(meter.lag()).toEqual({ median: 50, p95: 95 })
    meter.live(false, START + 3_000)
    meter.add(update(START + 4_000), START + 9_000)
    expect(meter.lag()?.p95).toBe(95)
  })

  it('tells of a version whether it came before or after the question, and takes a later one for it', async () => {
    const meter = new Meter()
    meter.add(update(START, 5), START + 3)
    await expect(meter.sighting('a', 'views', 5)).resolves.toEqual({ at: START + 3, source: 'socket' })
    const later = meter.sighting('a', 'views', 8)
    meter.add(update(START, 7), START + 4)
    meter.add({ ...update(START, 9), field: 'likes' }, START + 5)
    meter.add(update(START, 9, 'poll'), START + 6)
    await expect(later).resolves.toEqual({ at: START + 6, source: 'poll' })
  })
})
