// What one scope shows. The rule: a value is applied when it comes and told once per frame; and what did not change stays the
// same object.

import { Content } from './content'
import { type Counter, type Counters, versionOf } from './counters'
import { Feed } from './feed'
import { oncePerFrame } from './frame'
import { Listeners } from './listeners'
import type { Resolved } from './options'
import type { PerformanceConfig } from './performance'
import type { Poller } from './poller'
import { inventIncrements } from './simulation'
import type { Tokens } from './tokens'
import type { AnalyticsView, ContentAnalytics, Scope, Snapshot, Source, Update, WatchOptions } from './types'
import type { Change, ReadContent } from './wire'
import { FIELDS } from './wire.gen'

/** What all views of a client have in common. */
export interface Shared {
  options: Resolved
  counters: Counters
  tokens: Tokens
  poller(scope: Scope): Poller
  config: PerformanceConfig
  /** The store's base rose: what any view shows may be void. */
  rebased(): void
  /** A counter changed, in whichever view it was heard. */
  news(counter: Counter, change: Change, source: Source, initial: boolean): void
  /** Something is watched. */
  watching(): void
  /** Some content is watched no more. */
  released(): void
  live(): void
  flushed(): void
}

export class View implements AnalyticsView {
  readonly feed: Feed
  readonly #contents = new Map<string, Content>()
  readonly #intervals = new Map<symbol, number>()
  readonly #listeners = new Listeners<void>()
  readonly #updateListeners = new Listeners<Update>()
  #snapshot: Snapshot = INITIAL
  #lastUpdatedAt: number | null = null
  #syncing = false
  #closed = false
  /** What is shown is in part invented. */
  #inventing = false
  #simulation: ReturnType<typeof setTimeout> | undefined
  #trendTimer: ReturnType<typeof setTimeout> | undefined
  readonly #changed = oncePerFrame(() => this.#flush())

  readonly #shared: Shared
  /** The view of the same scope whose last real values are the ground of invented ones; null in a real view. */
  readonly #ground: View | null

  constructor(shared: Shared, scope: { organizationId?: string; clientId?: string }, ground: View | null) {
    this.#shared = shared
    this.#ground = ground
    this.feed = new Feed(shared.options, scope, shared.tokens, shared.poller(scope), {
      ids: () => [...this.#contents.keys()],
      interval: () => this.#interval(),
      take: (change, source) => this.#take(change, source),
      takeAnswer: answer => this.#takeAnswer(answer),
      rebase: base => shared.counters.rebase(base) && shared.rebased(),
      confirm: ids => {
        for (const id of ids) this.#contents.get(id)?.confirm()
        this.#changed()
      },
      rescope: () => {
        for (const content of this.#contents.values()) content.clear()
      },
      simulate: () => this.#simulate(),
      settle: () => this.#settle(),
      changed: () => this.#changed(),
    })
  }

  get isActive(): boolean {
    return this.#contents.size > 0
  }

  watch(ids: readonly string[], options: WatchOptions = {}): () => void {
    const watched = [...new Set(ids)].filter(id => this.#isId(id))
    const watcher = Symbol()
    this.#shared.watching()
    const interval = Number(options.interval)
    this.#intervals.set(watcher, interval >= 100 && interval <= 86_400_000 ? interval : this.#shared.options.interval)
    for (const id of watched) this.#contentOf(id).references++
    this.#sync()
    let released = false
    return () => {
      if (released) return
      released = true
      this.#intervals.delete(watcher)
      // A remount or the next page often wants the same again.
      setTimeout(() => {
        for (const id of watched) this.#contentOf(id).references--
        this.#sync()
      }, this.#shared.options.releaseDelay)
    }
  }

  subscribe(listener: () => void): () => void {
    return this.#listeners.add(listener)
  }

  onUpdate(listener: (update: Update) => void): () => void {
    return this.#updateListeners.add(listener)
  }

  getSnapshot(): Snapshot {
    const { status, source, error } = this.feed
    const next: Snapshot = {
      status,
      source: this.#ground && this.isActive ? 'simulated' : source,
      isLive: status === 'live',
      isStale: this.#lastUpdatedAt !== null && status !== 'live' && status !== 'polling' && !this.#ground,
      lastUpdatedAt: this.#lastUpdatedAt,
      error,
    }
    if (!sameSnapshot(this.#snapshot, next)) this.#snapshot = next
    return this.#snapshot
  }

  read(contentId: string, contentType?: string): ContentAnalytics | undefined {
    const { config, options } = this.#shared
    const content = this.#contents.get(contentId)
    try {
      return content?.read(config, contentType)
    } catch (error) {
      // A type that the edge does not know must not take a page down.
      options.logger?.warn(`content ${contentId} is scored without its type: ${error}`)
      return content?.read(config, undefined)
    }
  }

  refetch(): Promise<void> {
    return this.feed.refetch()
  }

  /** Ends it for good. */
  close(): void {
    this.#closed = true
    clearTimeout(this.#simulation)
    clearTimeout(this.#trendTimer)
    this.feed.stop()
  }

  /** The scores are others. */
  touch(): void {
    for (const content of this.#contents.values()) content.touch()
    this.#changed()
  }

  /** Something that this view may show has changed. */
  refresh(): void {
    this.#changed()
  }

  /** Tells of a counter's change, if this view sees the counter. */
  heard(counter: Counter, change: Change, source: Source, initial: boolean): void {
    if (!this.#contents.get(counter.contentId)?.has(counter)) return
    const { contentId, organizationId, clientId, field, value, version, timestamp } = change
    const tenant = {
      ...(organizationId !== undefined && { organizationId }),
      ...(clientId !== undefined && { clientId }),
    }
    this.#updateListeners.tell({ contentId, ...tenant, field, value, version, timestamp, source, initial })
    this.#changed()
  }

  watches(contentId: string): boolean {
    return this.#contents.has(contentId)
  }

  #contentOf(id: string): Content {
    let content = this.#contents.get(id)
    if (!content) {
      content = new Content()
      this.#contents.set(id, content)
      if (this.#ground) {
        const real = this.#ground.#contents.get(id)
        if (real) content.adopt(real)
        content.confirm()
      }
    }
    return content
  }

  /** Ids that the edge would refuse, and with them all that are named beside them. */
  #isId(id: unknown): id is string {
    const fits = typeof id === 'string' && id !== '' && !/[\p{Cc}\p{Cs}]/u.test(id) && encoder.encode(id).length <= 256
    if (!fits)
      this.#shared.options.logger?.warn('not watched: a content id is 1 to 256 bytes without control characters', id)
    return fits
  }

  /** Brings the subscription to what is watched, once for all changes of one turn. */
  #sync(): void {
    if (this.#syncing) return
    this.#syncing = true
    queueMicrotask(() => {
      this.#syncing = false
      let released = false
      for (const [id, content] of this.#contents) {
        if (content.references === 0) released = this.#contents.delete(id)
      }
      if (released) this.#shared.released()
      if (!this.#ground) this.feed.update()
      else if (!this.isActive || this.#closed) clearTimeout(this.#simulation)
      else this.#nextSimulation()
      this.#changed()
    })
  }

  #take(change: Change, source: Source): void {
    const content = this.#contents.get(change.contentId)
    if (!content) return
    this.#settle()
    const counter = this.#shared.counters.of(change)
    const { field, value, version, timestamp } = change
    const isBorn = content.isComplete && versionOf(counter) < 0
    const initial = counter.versions[field] < 0 && !isBorn
    content.add(counter)
    if (this.#shared.counters.apply(counter, field, value, version, timestamp))
      this.#shared.news(counter, change, source, initial)
    this.#lastUpdatedAt = Date.now()
    this.#changed()
  }

  #takeAnswer({ base, content }: ReadContent): void {
    for (const of of content) {
      // An id that was never counted comes with zeros at the base; it is no counter.
      if (of.version <= base && FIELDS.every(field => of[field] === 0)) continue
      for (const field of FIELDS) this.#take({ ...of, field, value: of[field] }, 'poll')
    }
    for (const { contentId } of content) this.#contents.get(contentId)?.confirm()
    this.#settle()
    this.#lastUpdatedAt = Date.now()
    this.#changed()
  }

  #nextSimulation(): void {
    clearTimeout(this.#simulation)
    this.#simulation = setTimeout(() => {
      this.#simulate()
      this.#nextSimulation()
    }, this.#interval())
  }

  #simulate(): void {
    const timestamp = Date.now()
    this.#inventing = true
    for (const [contentId, content] of this.#contents) {
      const increments = inventIncrements()
      if (!increments) continue
      content.invent(increments)
      const shown = this.read(contentId)
      for (const field of FIELDS) {
        if (!increments[field] || !shown) continue
        this.#updateListeners.tell({
          contentId,
          field,
          value: shown[field],
          version: 0,
          timestamp,
          source: 'simulated',
          initial: false,
        })
      }
    }
    this.feed.source = 'simulated'
    this.#lastUpdatedAt = timestamp
    this.#changed()
  }

  /** The first real value ends what was invented. */
  #settle(): void {
    if (!this.#inventing) return
    this.#inventing = false
    for (const content of this.#contents.values()) content.settle()
  }

  #interval(): number {
    return Math.min(
      ...this.#intervals.values(),
      this.#intervals.size ? Number.POSITIVE_INFINITY : this.#shared.options.interval,
    )
  }

  #flush(): void {
    this.getSnapshot()
    if (this.feed.status === 'live') this.#shared.live()
    this.#listeners.tell()
    this.#shared.flushed()
    // Nothing comes when a trend ends: what is called trending is judged again.
    if (this.#trendTimer === undefined && this.#trends().length) {
      this.#trendTimer = setTimeout(
        () => {
          this.#trendTimer = undefined
          for (const content of this.#trends()) content.touch()
          this.#changed()
        },
        Math.min(this.#shared.config.trending.windowMs / 4, 86_400_000),
      )
    }
  }

  #trends(): Content[] {
    return [...this.#contents.values()].filter(content => content.isTrending())
  }
}

const encoder = new TextEncoder()

const INITIAL: Snapshot = {
  status: 'idle',
  source: null,
  isLive: false,
  isStale: false,
  lastUpdatedAt: null,
  error: null,
}

export function sameSnapshot(one: Snapshot, other: Snapshot): boolean {
  return (Object.keys(one) as Array<keyof Snapshot>).every(key => Object.is(one[key], other[key]))
}
