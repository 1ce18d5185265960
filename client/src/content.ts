// One content as a view shows it. The rule: a sum over the counters that this view was told of, computed when it is read
// and the same object until one of them changes.

import { type Counter, versionOf } from './counters'
import { type PerformanceConfig, score, trending } from './performance'
import type { Increments } from './simulation'
import type { ContentAnalytics, CounterView } from './types'
import { FIELDS, type Field } from './wire.gen'

type Counts = Record<Field, number>

export class Content {
  /** Watchers. */
  references = 0
  readonly #counters = new Set<Counter>()
  /** The edge was asked; without counters it was never counted. */
  #asked = false
  /** The edge has told all that there is: a counter that comes now did not exist before. */
  isComplete = false
  #invented: Counts | null = null
  readonly #shown = new Map<string | undefined, ContentAnalytics>()
  /** What `shown` was computed from: the counters' revisions and the changes here, added up. */
  #stamp = 0
  #changes = 0
  #counts: Counts | null = null
  // Two earlier states, the older one at least a window old as soon as there is such a one.
  #before: { counts: Counts; at: number } | null = null
  #recent: { counts: Counts; at: number } | null = null
  /** How many fields of how many counters are known. */
  #known = 0

  add(counter: Counter): void {
    if (this.#counters.has(counter)) return
    this.#counters.add(counter)
    this.#asked = true
    this.touch()
  }

  has(counter: Counter): boolean {
    return this.#counters.has(counter)
  }

  /** Takes over what another view of the same scope sees. */
  adopt(other: Content): void {
    for (const counter of other.#counters) this.add(counter)
  }

  /** The edge has told all that there is. */
  confirm(): void {
    this.#asked = this.isComplete = true
  }

  /** Forgets which counters are seen: the scope is another. */
  clear(): void {
    this.#counters.clear()
    this.#asked = this.isComplete = false
    this.#before = this.#recent = this.#counts = null
    this.touch()
  }

  invent(increments: Increments): void {
    const invented = this.#invented
    this.#asked = true
    this.#invented = each(field => (invented?.[field] ?? 0) + increments[field])
    this.touch()
  }

  /** Drops what was invented. */
  settle(): void {
    this.#invented = null
    this.touch()
  }

  /** What is shown must be computed anew. */
  touch(): void {
    this.#changes++
  }

  isTrending(): boolean {
    return [...this.#shown.values()].some(shown => shown.trending)
  }

  read(config: PerformanceConfig, contentType: string | undefined): ContentAnalytics | undefined {
    if (!this.#asked) return undefined
    let stamp = this.#changes
    for (const counter of this.#counters) stamp += counter.revision
    if (stamp !== this.#stamp) this.#shown.clear()
    this.#stamp = stamp
    let shown = this.#shown.get(contentType)
    if (!shown) {
      shown = this.#compute(config, contentType)
      this.#shown.set(contentType, shown)
    }
    return shown
  }

  #compute(config: PerformanceConfig, contentType: string | undefined): ContentAnalytics {
    const counters = [...this.#counters].filter(counter => versionOf(counter) >= 0)
    const counts = each(field =>
      counters.reduce((sum, counter) => sum + counter.values[field], this.#invented?.[field] ?? 0),
    )
    return {
      ...counts,
      ...score(counts, contentType, config),
      trending: this.#judge(counts, config),
      updatedAt: counters.length ? Math.max(...counters.map(counter => counter.updatedAt)) : null,
      counters: counters.map(viewOf),
    }
  }

  #judge(counts: Counts, config: PerformanceConfig): boolean {
    const now = Date.now()
    // What becomes known is no gain.
    const known = [...this.#counters].reduce(
      (sum, { versions }) => sum + FIELDS.filter(f => versions[f] >= 0).length,
      0,
    )
    if (known !== this.#known) this.#before = this.#recent = this.#counts = null
    this.#known = known
    const last = this.#counts ?? counts
    this.#counts = counts
    this.#recent ??= { counts: last, at: now }
    this.#before ??= this.#recent
    if (now - this.#recent.at >= config.trending.windowMs) {
      this.#before = this.#recent
      this.#recent = { counts: last, at: now }
    }
    return trending({ before: this.#before.counts, after: counts, elapsedMs: now - this.#before.at }, config)
  }
}

const each = (of: (field: Field) => number): Counts => Object.fromEntries(FIELDS.map(f => [f, of(f)])) as Counts

function viewOf(counter: Counter): CounterView {
  const { organizationId, clientId, values, updatedAt } = counter
  const tenant = {
    ...(organizationId !== undefined && { organizationId }),
    ...(clientId !== undefined && { clientId }),
  }
  return { ...tenant, ...values, version: versionOf(counter), updatedAt }
}
