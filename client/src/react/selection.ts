// What one hook shows of a view. The rule: the object is the same until something has changed that the hook asked for,
// so that React renders for nothing else and never sees two states in one pass.

import type { AnalyticsView, ContentAnalytics, Snapshot } from '../types'

/** By content id, without a prototype: an id may be called `constructor`. */
export type AnalyticsData = Readonly<Record<string, ContentAnalytics>>

/** A view's state with the contents that the hook asked for, as far as they are known. */
export interface Shown extends Snapshot {
  readonly data: AnalyticsData
}

/** A content that is asked for, and what it is scored as. */
export interface Wanted {
  readonly id: string
  readonly type: string | undefined
}

export interface Selection {
  subscribe(listener: () => void): () => void
  getSnapshot(): Shown
  /** From now on also a new `lastUpdatedAt` alone is a change; it moves with every value of the whole view. */
  trackTime(): void
}

const NO_DATA: AnalyticsData = Object.freeze(Object.create(null))

/** What is shown before anything is known, and all that a server ever renders. */
export const NOTHING: Shown = Object.freeze({
  status: 'idle',
  source: null,
  isLive: false,
  isStale: false,
  lastUpdatedAt: null,
  error: null,
  data: NO_DATA,
})

const same = (a: Snapshot, b: Snapshot) =>
  a.status === b.status &&
  a.source === b.source &&
  a.isLive === b.isLive &&
  a.isStale === b.isStale &&
  a.error === b.error

/**
 * Selects contents of a view. The view is asked for when it is needed and not before, so that a server, which only
 * takes {@link NOTHING}, never makes one. A selection that is not `enabled` shows what was known when it was first
 * asked, and stays at that.
 */
export function select(getView: () => AnalyticsView, wanted: readonly Wanted[], enabled: boolean): Selection {
  let shown: Shown | undefined
  let looked: Snapshot | undefined
  let timed = false

  const read = (view: AnalyticsView): AnalyticsData => {
    const before = shown ? shown.data : NO_DATA
    const data: Record<string, ContentAnalytics> = Object.create(null)
    let changed = false
    for (const { id, type } of wanted) {
      const content = view.read(id, type)
      if (content) data[id] = content
      if (content !== before[id]) changed = true
    }
    return changed ? Object.freeze(data) : before
  }

  return {
    subscribe: listener => (enabled ? getView().subscribe(listener) : () => {}),
    getSnapshot() {
      if (shown && !enabled) return shown
      const view = getView()
      const state = view.getSnapshot()
      const data = read(view)
      if (!enabled) {
        const isStale = data !== NO_DATA
        shown = { ...NOTHING, isStale, lastUpdatedAt: isStale ? state.lastUpdatedAt : null, data }
      } else if (!shown || data !== shown.data || !same(state, shown) || (timed && state !== looked)) {
        shown = { ...state, data }
      }
      looked = state
      return shown
    },
    trackTime() {
      timed = true
    },
  }
}
