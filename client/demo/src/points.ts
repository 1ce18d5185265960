// What the chart shows, as numbers. The rule: the canvas, its legend and the table all read this and nothing else.

import type { Field } from './fields'
import type { Recorder } from './recorder'
import type { Cell } from './ring'

export interface Points {
  /** In seconds since the epoch, oldest first. */
  readonly times: number[]
  /** Which of them were live. */
  readonly live: boolean[]
  readonly series: readonly { readonly id: string; readonly gained: Cell[] }[]
}

/** As many lines as can be told apart. */
export const MOST_SERIES = 6

export function pointsOf(recorder: Recorder, metric: Field): Points {
  return {
    times: recorder.times().map(time => time / 1000),
    live: recorder.live(),
    series: recorder.ids.slice(0, MOST_SERIES).map(id => ({ id, gained: recorder.gained(id, metric) })),
  }
}

/** The stretches that were not live, from and to in seconds since the epoch. */
export function darkStretches({ times, live }: Points): [from: number, to: number][] {
  const stretches: [number, number][] = []
  times.forEach((time, row) => {
    if (live[row]) return
    const last = stretches.at(-1)
    // Up to the next row, which says how it went on.
    const to = times[row + 1] ?? time
    if (last && last[1] === time) last[1] = to
    else stretches.push([time, to])
  })
  return stretches
}
