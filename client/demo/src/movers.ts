// Who moves. The rule: what the edge's criteria call trending comes first, then what gained most in the last minute.

import { FIELDS } from './fields'
import type { Counts, Recorder } from './recorder'

/** How far back gains are counted, in milliseconds. */
export const WINDOW = 60_000

export interface Mover {
  readonly id: string
  readonly trending: boolean
  readonly gain: Counts
  /** All four gains together. */
  readonly moved: number
}

/** The contents that moved, at most `most` of them. */
export function movers(
  recorder: Recorder,
  data: Readonly<Record<string, { readonly trending: boolean } | undefined>>,
  most: number,
): Mover[] {
  return recorder.ids
    .map(id => {
      const gain = recorder.gain(id, WINDOW)
      const moved = FIELDS.reduce((sum, field) => sum + Math.abs(gain[field]), 0)
      return { id, gain, moved, trending: data[id]?.trending ?? false }
    })
    .filter(mover => mover.moved > 0 || mover.trending)
    .sort((a, b) => Number(b.trending) - Number(a.trending) || b.moved - a.moved)
    .slice(0, most)
}
