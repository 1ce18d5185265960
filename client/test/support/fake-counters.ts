// The counts behind the fake edge. The rule: a counter's version rises by one with every change, starting at the base.

import type { Field, ServerMessage } from '../../src/wire.gen'

/** Whose counters are meant. */
export interface FakeScope {
  organizationId?: string
  clientId?: string
}

/** One counter as it stands. */
export interface FakeCounter extends FakeScope {
  contentId: string
  counts: Record<Field, number>
  version: number
  timestamp: number
}

const FIELDS: readonly Field[] = ['views', 'likes', 'shares', 'comments']

/** The scope alone, without the fields that are absent: what stands in messages and answers. */
export function scopeOf({ organizationId, clientId }: FakeScope): FakeScope {
  return {
    ...(organizationId !== undefined && { organizationId }),
    ...(clientId !== undefined && { clientId }),
  }
}

/** Whether a scope shows a counter: public ones, and those of its organization that are its client's or nobody's. */
export function shows(scope: FakeScope, counter: FakeScope): boolean {
  if (counter.organizationId === undefined) return true
  if (counter.organizationId !== scope.organizationId) return false
  return scope.clientId === undefined || counter.clientId === undefined || counter.clientId === scope.clientId
}

/** The message that says what a counter's field is. */
export function updateOf(counter: FakeCounter, field: Field): ServerMessage {
  const { contentId, counts, timestamp, version } = counter
  return {
    type: 'analytics_update',
    contentId,
    field,
    value: counts[field],
    timestamp,
    ...scopeOf(counter),
    version,
  }
}

/** All four messages of a counter. */
export function updatesOf(counter: FakeCounter): ServerMessage[] {
  return FIELDS.map(field => updateOf(counter, field))
}

/** A store that is in memory and forgets. */
export class FakeCounters {
  readonly #counters = new Map<string, FakeCounter>()

  /** `base`: the lowest possible version, as the store of a real edge has one. `clock`: what changes are dated by. */
  constructor(
    readonly base: number,
    readonly clock: () => number = Date.now,
  ) {}

  /** Adds to a field and gives the counter as it is then. */
  add(contentId: string, field: Field, increment: number, scope: FakeScope): FakeCounter {
    const key = JSON.stringify([scope.organizationId, contentId, scope.clientId])
    let counter = this.#counters.get(key)
    if (!counter) {
      const counts = { views: 0, likes: 0, shares: 0, comments: 0 }
      counter = { contentId, ...scopeOf(scope), counts, version: this.base, timestamp: 0 }
      this.#counters.set(key, counter)
    }
    counter.counts[field] += increment
    counter.version += 1
    counter.timestamp = this.clock()
    return counter
  }

  /** The counters of a content that a scope shows. */
  visible(contentId: string, scope: FakeScope): FakeCounter[] {
    return [...this.#counters.values()].filter(counter => counter.contentId === contentId && shows(scope, counter))
  }

  /** What `GET content` answers for an id: its counters, or zeros at the base for one never counted. */
  content(contentId: string, scope: FakeScope): object[] {
    const found = this.visible(contentId, scope)
    const zeros = { contentId, counts: { views: 0, likes: 0, shares: 0, comments: 0 }, version: this.base }
    const counters = found.length > 0 ? found : [{ ...zeros, ...scopeOf(scope), timestamp: 0 }]
    return counters.map(({ counts, ...counter }) => ({ ...counter, ...counts, score: 0, rating: 'poor' }))
  }
}
