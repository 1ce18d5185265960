// The ring. The rule tested: it holds the newest rows in order, and never more than it was made for.

import { describe, expect, it } from 'vitest'
import { Ring } from '../../demo/src/ring'

describe('Ring', () => {
  it('holds rows in order until it is full, then forgets the oldest', () => {
    const ring = new Ring(2, 3)
    expect(ring.length).toBe(0)
    expect(ring.column(0)).toEqual([])
    for (let row = 1; row <= 7; row++) {
      ring.push([row, -row])
      const kept = [row - 2, row - 1, row].filter(at => at >= 1)
      expect(ring.column(0)).toEqual(kept)
      expect(ring.column(1)).toEqual(kept.map(at => -at))
      expect(ring.length).toBe(kept.length)
    }
  })

  it('takes the place of what a row lacks with unknown, also where an older row stood', () => {
    const ring = new Ring(2, 1)
    ring.push([1, 2])
    ring.push([3])
    expect([ring.at(0, 0), ring.at(0, 1)]).toEqual([3, null])
  })

  it('knows nothing outside of its rows', () => {
    const ring = new Ring(1, 2)
    ring.push([5])
    expect([ring.at(-1, 0), ring.at(0, 0), ring.at(1, 0)]).toEqual([null, 5, null])
  })
})
