// The one reducer for every source. The rule: a field only ever moves to a newer version, and what lies below the base of
// the store is forgotten; so any mixture of sockets, edges and polls ends at the newest values.

import type { Change } from './wire'
import { FIELDS, type Field } from './wire.gen'

/** A counter as far as it is known: per field its value and the version that said so. */
export interface Counter {
  readonly contentId: string
  readonly organizationId: string | undefined
  readonly clientId: string | undefined
  readonly values: Record<Field, number>
  /** -1 where nothing is known. */
  readonly versions: Record<Field, number>
  /** When the newest of the versions was committed, in milliseconds since the epoch. */
  updatedAt: number
  /** Grows with every change of what a page can see. */
  revision: number
}

const fill = (value: number): Record<Field, number> => ({ views: value, likes: value, shares: value, comments: value })

export const versionOf = (counter: Counter): number => Math.max(...FIELDS.map(field => counter.versions[field]))

export class Counters {
  readonly #counters = new Map<string, Counter>()
  #base = 0

  /** The counter that a change is about. */
  of({ contentId, organizationId, clientId }: Omit<Change, 'field' | 'value'>): Counter {
    // Ids hold no control characters, and none is empty.
    const key = `${organizationId ?? ''}\0${clientId ?? ''}\0${contentId}`
    let counter = this.#counters.get(key)
    if (!counter) {
      counter = { contentId, organizationId, clientId, values: fill(0), versions: fill(-1), updatedAt: 0, revision: 0 }
      this.#counters.set(key, counter)
    }
    return counter
  }

  /** Takes a change that is newer than what is known, and says whether the value is another one. */
  apply(counter: Counter, field: Field, value: number, version: number, timestamp: number): boolean {
    if (version < this.#base || version <= counter.versions[field]) return false
    if (version >= versionOf(counter)) counter.updatedAt = timestamp
    const known = counter.versions[field] >= 0
    counter.versions[field] = version
    if (known && counter.values[field] === value) return false
    counter.values[field] = value
    counter.revision++
    return true
  }

  /** Forgets what lies below a base, and says whether the base is a new one: the store was wiped or restored, and wins. */
  rebase(base: number): boolean {
    if (base <= this.#base) return false
    this.#base = base
    for (const counter of this.#counters.values()) {
      for (const field of FIELDS) {
        if (counter.versions[field] < base) {
          counter.versions[field] = -1
          counter.values[field] = 0
          counter.revision++
        }
      }
    }
    return true
  }

  /** Drops the counters of contents that nobody watches any more. */
  retain(isWatched: (contentId: string) => boolean): void {
    for (const [key, counter] of this.#counters) {
      if (!isWatched(counter.contentId)) this.#counters.delete(key)
    }
  }
}
