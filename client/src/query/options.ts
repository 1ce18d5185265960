// One content as a query. The rule: its key says all that its value depends on, so that a binding can serve every such
// query from the key alone, also one that was restored from a server or from storage.

import type { DataTag, QueryKey } from '@tanstack/react-query'
import { createError } from '../error'
import type { AnalyticsClient, AnalyticsView, ContentAnalytics, Scope } from '../types'

const PREFIX = 'content-analytics'

export interface AnalyticsQueryOptions {
  /** By default the token's. */
  scope?: Scope | undefined
  /** What the content is scored as. */
  contentType?: string | undefined
}

/** What a key names. */
export interface Subject extends Scope {
  contentId: string
  contentType?: string | undefined
}

/** The key with the type of what it is the key of. */
export type AnalyticsQueryKey = DataTag<readonly [typeof PREFIX, Subject], ContentAnalytics>

/** Spelled out, so that it fits `useQuery`, `useSuspenseQuery`, `useQueries`, `fetchQuery` of every version 5 alike. */
export interface AnalyticsQuery {
  queryKey: AnalyticsQueryKey
  queryFn: () => Promise<ContentAnalytics>
  retry: (failures: number) => boolean
  staleTime: number
  structuralSharing: false
}

/** The key of a content's query. Its first element alone is the key of them all. */
export function analyticsQueryKey(
  contentId: string,
  { scope, contentType }: AnalyticsQueryOptions = {},
): AnalyticsQueryKey {
  const { organizationId, clientId } = scope ?? {}
  // The tag is there for the compiler only.
  return [PREFIX, { contentId, organizationId, clientId, contentType }] as const as AnalyticsQueryKey
}

/** What a key names, if it is one of {@link analyticsQueryKey}. */
export function subjectOf(key: QueryKey): Subject | undefined {
  const [prefix, subject] = key
  if (prefix !== PREFIX || typeof subject !== 'object' || subject === null) return undefined
  return 'contentId' in subject && typeof subject.contentId === 'string' ? (subject as Subject) : undefined
}

/**
 * A content's counts for `useQuery` and its like. `bindQueryClient` keeps them live; without it they are what was known
 * or what one poll answered. The value is the client's own object, the same until the content changes. It never becomes
 * stale by itself: what is pushed needs no fetching.
 */
export function analyticsQueryOptions(
  client: AnalyticsClient,
  contentId: string,
  options: AnalyticsQueryOptions = {},
): AnalyticsQuery {
  const { scope, contentType } = options
  return {
    queryKey: analyticsQueryKey(contentId, options),
    queryFn: () => current(client.view(scope), contentId, contentType),
    // A client that has given up does so for a reason that trying again does not change.
    retry: failures => failures < 3 && client.view(scope).getSnapshot().status !== 'failed',
    staleTime: Number.POSITIVE_INFINITY,
    structuralSharing: false,
  }
}

/** What is known if the edge stands by it; else what the socket tells, and where there is none, what a poll answers. */
async function current(view: AnalyticsView, contentId: string, contentType?: string): Promise<ContentAnalytics> {
  const known = view.read(contentId, contentType)
  if (known && view.getSnapshot().isLive) return known
  const release = view.watch([contentId])
  try {
    const heard = await told(view, contentId, contentType)
    if (heard) return heard
    // What was known before, or comes meanwhile, is better than an error.
    const failure: unknown = await refetched(view).catch(error => error)
    const content = view.read(contentId, contentType)
    if (content) return content
    const { error } = view.getSnapshot()
    throw error ?? failure ?? createError('network', `nothing was answered about ${contentId}`)
  } finally {
    release()
  }
}

/** The content once a socket has told of it, or `undefined` as soon as it is clear that none will. */
async function told(
  view: AnalyticsView,
  contentId: string,
  contentType?: string,
): Promise<ContentAnalytics | undefined> {
  // A view begins to connect when the turn that began to watch has ended.
  await Promise.resolve()
  return new Promise(resolve => {
    const look = () => {
      const { isLive, status } = view.getSnapshot()
      const content = isLive ? view.read(contentId, contentType) : undefined
      if (!content && (isLive || status === 'connecting')) return
      stop()
      resolve(content)
    }
    const stop = view.subscribe(look)
    look()
  })
}

const asking = new WeakMap<AnalyticsView, Promise<void>>()

/** Fetches that begin in one turn share one question: a page that mounts fifty queries asks once for all of them. */
function refetched(view: AnalyticsView): Promise<void> {
  let answer = asking.get(view)
  if (!answer) {
    answer = Promise.resolve().then(() => {
      asking.delete(view)
      return view.refetch()
    })
    asking.set(view, answer)
  }
  return answer
}
