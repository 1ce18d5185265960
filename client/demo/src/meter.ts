// How much comes and how late. The rule: an update costs a few additions; whoever wants a figure computes it then.

import type { Field } from './fields'

/** An update as far as it is measured. */
export interface Arrival {
  readonly contentId: string
  readonly field: Field
  readonly version: number
  /** When it was committed, in milliseconds since the epoch. */
  readonly timestamp: number
  readonly source: string
}

/** From commit to arrival, in milliseconds. */
export interface Lag {
  readonly median: number
  readonly p95: number
}

/** That an update has come: when, and which way. */
export interface Sighting {
  readonly at: number
  readonly source: string
}

/** Seconds looked back on. */
export const SECONDS = 60
/** Seconds that the rate is a mean of. */
const RATE_SECONDS = 10
/** Lags kept. */
const LAGS = 256
/** Arrivals kept for whoever asks after the fact. */
const ARRIVALS = 64

interface Wanted {
  matches(arrival: Arrival): boolean
  found(sighting: Sighting): void
}

export class Meter {
  /** Updates that came. */
  total = 0
  private readonly counts = new Array<number>(SECONDS + 1).fill(0)
  private second = 0
  private readonly lags: number[] = []
  private readonly arrivals: (Arrival & { at: number })[] = []
  private wanted: Wanted[] = []
  private liveSince = Number.POSITIVE_INFINITY

  /** Told whenever the socket becomes live or stops being so. */
  live(is: boolean, now: number): void {
    if (!is) this.liveSince = Number.POSITIVE_INFINITY
    else this.liveSince = Math.min(this.liveSince, now)
  }

  add(update: Arrival, now: number): void {
    this.turnTo(now)
    this.total++
    const slot = this.second % this.counts.length
    this.counts[slot] = (this.counts[slot] ?? 0) + 1
    // What a fresh subscription repeats was committed long ago; that says nothing about the way here.
    if (update.source === 'socket' && update.timestamp >= this.liveSince) {
      this.lags[this.lags.length < LAGS ? this.lags.length : this.total % LAGS] = Math.max(0, now - update.timestamp)
    }
    this.arrivals.push({ ...update, at: now })
    if (this.arrivals.length > ARRIVALS) this.arrivals.shift()
    this.wanted = this.wanted.filter(wanted => {
      if (!wanted.matches(update)) return true
      wanted.found({ at: now, source: update.source })
      return false
    })
  }

  /** Updates in each of the last finished seconds, oldest first. */
  perSecond(now: number): number[] {
    this.turnTo(now)
    const size = this.counts.length
    return Array.from({ length: SECONDS }, (_, index) => this.counts[(this.second + 1 + index) % size] ?? 0)
  }

  /** Updates a second, over the last finished ones. */
  rate(now: number): number {
    const recent = this.perSecond(now).slice(-RATE_SECONDS)
    return recent.reduce((sum, count) => sum + count, 0) / RATE_SECONDS
  }

  /** Over the newest updates; `null` before the first. */
  lag(): Lag | null {
    if (this.lags.length === 0) return null
    const sorted = [...this.lags].sort((a, b) => a - b)
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0
    return { median: at(0.5), p95: at(0.95) }
  }

  /** When a version of a count, or a later one, is first seen here, also if it was before this call. */
  sighting(contentId: string, field: Field, version: number): Promise<Sighting> {
    const matches = (arrival: Arrival) =>
      arrival.contentId === contentId && arrival.field === field && arrival.version >= version
    const already = this.arrivals.find(matches)
    if (already) return Promise.resolve({ at: already.at, source: already.source })
    return new Promise(found => this.wanted.push({ matches, found }))
  }

  // Seconds in which nothing came are zeros.
  private turnTo(now: number): void {
    const second = Math.floor(now / 1000)
    for (let skipped = Math.max(this.second + 1, second - SECONDS); skipped <= second; skipped++) {
      this.counts[skipped % this.counts.length] = 0
    }
    this.second = Math.max(this.second, second)
  }
}
