// What became of the counts since watching began. The rule: fixed memory, one row a second, and every gain is measured
// from the first state that can be trusted.

import { FIELDS, type Field } from './fields'
import { type Cell, Ring } from './ring'

/** What is recorded of a content. */
export type Counts = Readonly<Record<Field, number>>

/** Rows kept: ten minutes. */
const ROWS = 600
/** A first state is often zeros until the edge has read its store: this long, in milliseconds, the baseline follows it. */
const SETTLE = 1_000
/** Columns before those of the contents: time and whether it was live. */
const LEADING = 2

interface Seen {
  at: number
  baseline: Counts
}

export class Recorder {
  private readonly ring: Ring
  private readonly seen = new Map<string, Seen>()
  private readonly listeners = new Set<() => void>()
  private samples = 0

  /** `since`: when watching began, in milliseconds since the epoch. */
  constructor(
    readonly ids: readonly string[],
    readonly since: number,
    rows = ROWS,
  ) {
    this.ring = new Ring(LEADING + ids.length * FIELDS.length, rows)
  }

  /** Takes note of the first states. */
  see(data: Readonly<Record<string, Counts | undefined>>, now: number): void {
    for (const id of this.ids) {
      const content = data[id]
      if (!content) continue
      const { views, likes, shares, comments } = content
      const counts = { views, likes, shares, comments }
      const seen = this.seen.get(id)
      if (!seen) this.seen.set(id, { at: now, baseline: counts })
      else if (now - seen.at < SETTLE) seen.baseline = counts
    }
  }

  /** Adds a row. */
  sample(data: Readonly<Record<string, Counts | undefined>>, live: boolean, now: number): void {
    this.see(data, now)
    const row: Cell[] = [now, live ? 1 : 0]
    for (const id of this.ids) {
      const content = this.baseline(id, now) ? data[id] : undefined
      for (const field of FIELDS) row.push(content?.[field] ?? null)
    }
    this.ring.push(row)
    this.samples++
    for (const listener of this.listeners) listener()
  }

  /** What gains of a content are measured from; `undefined` until its first state has settled. */
  baseline(id: string, now: number): Counts | undefined {
    const seen = this.seen.get(id)
    return seen && now - seen.at >= SETTLE ? seen.baseline : undefined
  }

  /** When each row was taken, in milliseconds since the epoch, oldest first. */
  times(): number[] {
    return this.ring.column(0).map(time => time ?? 0)
  }

  /** Which rows were live. */
  live(): boolean[] {
    return this.ring.column(1).map(live => live === 1)
  }

  /** What a content had gained by each row. */
  gained(id: string, field: Field): Cell[] {
    const first = this.seen.get(id)?.baseline[field] ?? 0
    return this.ring.column(this.columnOf(id, field)).map(value => (value === null ? null : value - first))
  }

  /** What a content gained in the time before the newest row, in milliseconds, or since it was first seen. */
  gain(id: string, window: number): Counts {
    const last = this.ring.length - 1
    const start = (this.ring.at(last, 0) ?? 0) - window
    let first = last
    while (first > 0 && (this.ring.at(first - 1, 0) ?? 0) >= start) first--
    const [views, likes, shares, comments] = FIELDS.map(field => {
      const column = this.columnOf(id, field)
      let from = first
      while (from < last && this.ring.at(from, column) === null) from++
      return (this.ring.at(last, column) ?? 0) - (this.ring.at(from, column) ?? 0)
    })
    return { views: views ?? 0, likes: likes ?? 0, shares: shares ?? 0, comments: comments ?? 0 }
  }

  /** Calls back after each row. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** Rows ever taken, by which a reader knows that there is a new one. */
  readonly getSnapshot = (): number => this.samples

  private columnOf(id: string, field: Field): number {
    return LEADING + this.ids.indexOf(id) * FIELDS.length + FIELDS.indexOf(field)
  }
}
