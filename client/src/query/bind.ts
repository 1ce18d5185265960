// The client's counts in a QueryClient. The rule: a query is watched exactly while it has an active observer, is written
// to only when its content has changed, and everything ends with the binding.

import { notifyManager, type Query, type QueryClient, type QueryKey } from '@tanstack/react-query'
import type { AnalyticsClient, AnalyticsView, ContentAnalytics, Scope } from '../types'
import { type Subject, subjectOf } from './options'
import { throttle } from './throttle'

export interface BindOptions {
  /** Whose changes make what is derived out of date, beside those of the queries in the cache. */
  scope?: Scope | undefined
  /** The keys of what is derived from counts, such as lists and rankings. Each stands for all keys that it begins. */
  invalidate?: readonly QueryKey[] | undefined
  /** The least time between two invalidations, in milliseconds. By default 5 000. */
  throttle?: number | undefined
}

/** A query of `analyticsQueryOptions` that is in the cache. */
interface Bound {
  readonly query: Query
  readonly subject: Subject
  /** What it was last given; an optimistic value that the application set since stays until the content changes. */
  given: ContentAnalytics | undefined
  /** Set while it is watched. */
  release: (() => void) | undefined
}

/** A view with its queries. */
interface Group {
  readonly view: AnalyticsView
  readonly bound: Map<string, Bound>
  stop(): void
}

/**
 * Writes counts into the queries of `analyticsQueryOptions` as they change, and keeps those watched that somebody looks
 * at. Invalidates what is derived from counts when they change, at most once in `throttle`, and exactly once when a
 * lost connection is back, since nobody knows what was missed. Returns the function that ends all of it.
 */
export function bindQueryClient(
  client: AnalyticsClient,
  queryClient: QueryClient,
  options: BindOptions = {},
): () => void {
  const { invalidate = [], throttle: distance = 5_000 } = options
  const cache = queryClient.getQueryCache()
  const groups = new Map<AnalyticsView, Group>()
  const derived = throttle(() => {
    for (const queryKey of invalidate) void queryClient.invalidateQueries({ queryKey })
  }, distance)

  const give = (view: AnalyticsView, bound: Bound) => {
    const { contentId, contentType } = bound.subject
    const content = view.read(contentId, contentType)
    if (!content || content === bound.given) return
    bound.given = content
    if (content !== bound.query.state.data) queryClient.setQueryData(bound.query.queryKey, content)
  }

  const open = (view: AnalyticsView): Group => {
    const bound = new Map<string, Bound>()
    let wasLive = view.getSnapshot().isLive
    let lost = false
    const stopListening = view.onUpdate(({ initial, source }) => {
      // No server knows of what was invented here.
      if (!initial && source !== 'simulated') derived.call()
    })
    const stopFlushes = view.subscribe(() => {
      // In one batch, so that React renders once for all of them.
      notifyManager.batch(() => {
        for (const one of bound.values()) give(view, one)
      })
      const { isLive, status } = view.getSnapshot()
      // Of a view that nobody watched for a while, nothing was lost: whatever is mounted next is fetched by its own rules.
      if (wasLive && !isLive && status !== 'idle') lost = true
      if (isLive && lost) {
        lost = false
        derived.restart()
      }
      wasLive = isLive
    })
    return {
      view,
      bound,
      stop() {
        stopListening()
        stopFlushes()
        for (const { release } of bound.values()) release?.()
      },
    }
  }

  const groupOf = ({ organizationId, clientId }: Scope): Group => {
    const view = client.view({ organizationId, clientId })
    const group = groups.get(view) ?? open(view)
    groups.set(view, group)
    return group
  }

  const follow = (query: Query) => {
    const subject = subjectOf(query.queryKey)
    if (!subject) return
    const { view, bound } = groupOf(subject)
    let one = bound.get(query.queryHash)
    if (!one) {
      one = { query, subject, given: undefined, release: undefined }
      bound.set(query.queryHash, one)
    }
    if (query.isActive()) {
      one.release ??= view.watch([subject.contentId])
      give(view, one)
    } else {
      one.release?.()
      one.release = undefined
    }
  }

  const forget = (query: Query) => {
    const subject = subjectOf(query.queryKey)
    if (!subject) return
    const { bound } = groupOf(subject)
    const one = bound.get(query.queryHash)
    if (one?.query !== query) return
    one.release?.()
    bound.delete(query.queryHash)
  }

  groupOf(options.scope ?? {})
  for (const query of cache.getAll()) follow(query)
  const stopCache = cache.subscribe(({ type, query }) => {
    if (type === 'removed') forget(query)
    else if (type === 'added' || type.startsWith('observer')) follow(query)
  })

  return () => {
    stopCache()
    derived.cancel()
    for (const group of groups.values()) group.stop()
    groups.clear()
  }
}
