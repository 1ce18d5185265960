// The client: one for a page, shared by whatever shows counts. The rule: nothing happens before something is watched, and
// views of one scope are one.

import { Counters } from './counters'
import { createError } from './error'
import { Listeners } from './listeners'
import { resolve } from './options'
import { getPerformanceConfig, loadPerformanceConfig } from './performance'
import { createPoller } from './poller'
import { Tokens } from './tokens'
import type { AnalyticsClient, ClientOptions, Scope, Snapshot, Status } from './types'
import { type Shared, sameSnapshot, View } from './view'
import { listenToPage } from './wake'

/** When the thresholds are asked for again after a failure, in milliseconds, half as much more or less. */
const CONFIGURE_AGAIN = 300_000

/** From the best to the worst that can be said of a page as a whole. */
const WORSE: readonly Status[] = ['idle', 'live', 'connecting', 'polling', 'reconnecting', 'failed']

export function createAnalyticsClient(options: ClientOptions): AnalyticsClient {
  const resolved = resolve(options)
  const views = new Map<string, View>()
  const listeners = new Listeners<void>()
  const tokens = new Tokens(resolved.getToken)
  let overall: Snapshot | null = null
  let endOfPage: (() => void) | null = null
  /** From when on the thresholds may be asked for. */
  let configureAt = 0

  const each = (act: (view: View) => void) => views.forEach(act)

  const shared: Shared = {
    options: resolved,
    counters: new Counters(),
    tokens,
    poller: scope => createPoller(resolved.pollUrls, scope, tokens, resolved.fetch),
    config: getPerformanceConfig(),
    rebased: () => each(view => view.refresh()),
    news: (...news) => each(view => view.heard(...news)),
    released: () => shared.counters.retain(id => [...views.values()].some(view => view.watches(id))),
    watching: () => {
      endOfPage ??= listenToPage({
        woke: () => each(view => view.feed.now()),
        doubt: () => each(view => view.feed.doubt()),
        park: () => each(view => view.feed.park()),
      })
    },
    live: () => {
      if (Date.now() >= configureAt) void configure()
    },
    flushed: () => listeners.tell(),
  }

  /** Scores are computed as the edge computes them; until its thresholds are known, and without them, as it does by default. */
  async function configure(): Promise<void> {
    configureAt = Number.POSITIVE_INFINITY
    try {
      const signal = AbortSignal.timeout(10_000)
      const config = await loadPerformanceConfig(resolved.configUrl, { fetch: resolved.fetch, signal })
      if (JSON.stringify(config) === JSON.stringify(shared.config)) return
      shared.config = config
      each(view => view.touch())
    } catch (error) {
      configureAt = Date.now() + CONFIGURE_AGAIN * (0.5 + Math.random())
      resolved.logger?.warn('scores are computed with the default thresholds', error)
    }
  }

  function view(scope: Scope = {}, { simulate = false }: { simulate?: boolean | undefined } = {}): View {
    const { organizationId, clientId } = scope
    // An empty one is as good as none.
    const key = JSON.stringify([organizationId || null, clientId || null, simulate])
    let found = views.get(key)
    if (!found) {
      const own = { ...(organizationId && { organizationId }), ...(clientId && { clientId }) }
      found = new View(shared, own, simulate ? view(scope) : null)
      views.set(key, found)
    }
    return found
  }

  function worst(): Snapshot {
    const active = [...views.values()].filter(view => view.isActive).map(view => view.getSnapshot())
    const rank = (snapshot: Snapshot) => WORSE.indexOf(snapshot.status)
    const next = active.reduce(
      (worst, one) => (rank(one) > rank(worst) ? one : worst),
      active[0] ?? view().getSnapshot(),
    )
    if (!overall || !sameSnapshot(overall, next)) overall = next
    return overall
  }

  return {
    view,
    watch: (ids, scope, watchOptions) => view(scope).watch(ids, watchOptions),
    subscribe: listener => listeners.add(listener),
    getSnapshot: scope => (scope ? view(scope).getSnapshot() : worst()),
    reconnect: () => each(view => view.feed.reconnect()),
    close: () => {
      endOfPage?.()
      configureAt = Number.POSITIVE_INFINITY
      resolved.problem = createError('closed', 'the client was closed')
      each(view => view.close())
    },
  }
}
