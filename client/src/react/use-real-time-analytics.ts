// The hook. The rule: rendering only reads; what has an effect (watching, listening) happens in effects that compare
// their inputs by content, so that inline arrays and functions cost nothing.

import { useContext, useEffect, useInsertionEffect, useMemo, useRef, useSyncExternalStore } from 'react'
import { defaultClient, defaultScope } from '../defaults'
import type { AnalyticsClient, Scope, Snapshot, Update } from '../types'
import { ClientContext } from './context'
import { type AnalyticsData, NOTHING, select, type Wanted } from './selection'

/** What contents are scored as: one type for all, a type for each id in the same order, or types by id. */
export type ContentTypes = string | readonly (string | undefined)[] | Readonly<Record<string, string | undefined>>

export interface RealTimeAnalyticsOptions {
  /** Compared by content: an array made anew in every render is fine. */
  contentIds: readonly string[]
  /** By default the token's; without a provider, `NEXT_PUBLIC_ORGANIZATION_ID`. */
  organizationId?: string | undefined
  /** By default the token's; without a provider, `NEXT_PUBLIC_CLIENT_ID` within its organization. */
  clientId?: string | undefined
  /** Compared by content as well. */
  contentTypes?: ContentTypes | undefined
  /** `false`: watches nothing, is `idle`, and shows what was known at that time. By default `true`. */
  enabled?: boolean | undefined
  /** How often to poll while the socket is down, in milliseconds; by default the client's. */
  interval?: number | undefined
  /** Invents plausible changes on top of the last real values, without a socket. By default `false`. */
  simulateUpdates?: boolean | undefined
  /** Called at once with every change of these contents, also with those that no render shows. The newest one counts. */
  onUpdate?: ((update: Update) => void) | undefined
}

export interface RealTimeAnalytics extends Snapshot {
  /** What is known, by content id. The object, and each content's, is the same until something in it changes. */
  readonly data: AnalyticsData
  /** Asks by HTTP for everything that is watched in the scope. Keeps its identity while the scope is the same. */
  refetch(): Promise<void>
  /** Connects now, also after `failed`. Keeps its identity while the scope is the same. */
  reconnect(): void
}

/**
 * Shows the counts of contents and keeps them live. All hooks of one client and scope share a socket. What was asked
 * for stays subscribed for a moment after the last hook left, so that a remount does not subscribe anew.
 */
export function useRealTimeAnalytics(options: RealTimeAnalyticsOptions): RealTimeAnalytics {
  const { organizationId, clientId, enabled = true, interval, simulateUpdates = false, onUpdate } = options
  const provided = useContext(ClientContext)

  // Both are functions because a server, which renders but runs no effects, must never come to need a client.
  const source = useMemo(() => {
    const client = () => provided ?? defaultClient()
    const view = () => client().view(scopeOf(provided, organizationId, clientId), { simulate: simulateUpdates })
    return { view, refetch: () => view().refetch(), reconnect: () => client().reconnect() }
  }, [provided, organizationId, clientId, simulateUpdates])

  // As text, what is asked for is the same when it says the same.
  const asked = JSON.stringify(wantedOf(options))
  const wanted: readonly Wanted[] = useMemo(() => JSON.parse(asked), [asked])
  const selection = useMemo(() => select(source.view, wanted, enabled), [source, wanted, enabled])
  const shown = useSyncExternalStore(selection.subscribe, selection.getSnapshot, () => NOTHING)

  const latest = useRef(onUpdate)
  useInsertionEffect(() => {
    latest.current = onUpdate
  })

  // Before the watching, so that nothing that the watching brings is missed.
  const listens = enabled && onUpdate !== undefined
  useEffect(() => {
    if (!listens) return
    const ids = new Set(wanted.map(({ id }) => id))
    return source.view().onUpdate(update => {
      if (ids.has(update.contentId)) latest.current?.(update)
    })
  }, [source, wanted, listens])

  useEffect(() => {
    if (!enabled || wanted.length === 0) return
    return source.view().watch(
      wanted.map(({ id }) => id),
      { interval },
    )
  }, [source, wanted, enabled, interval])

  return useMemo(() => {
    const { lastUpdatedAt, ...rest } = shown
    return {
      ...rest,
      get lastUpdatedAt() {
        selection.trackTime()
        return lastUpdatedAt
      },
      refetch: source.refetch,
      reconnect: source.reconnect,
    }
  }, [shown, selection, source])
}

/** The environment's client belongs to the environment's organization, and a provider's client to neither. */
function scopeOf(
  provided: AnalyticsClient | null,
  organizationId: string | undefined,
  clientId: string | undefined,
): Scope {
  if (provided) return { organizationId, clientId }
  const defaults = defaultScope()
  const own = organizationId === undefined || organizationId === defaults.organizationId
  return own ? { ...defaults, ...(clientId !== undefined && { clientId }) } : { organizationId, clientId }
}

/** Each id once, in the order given, with its type. */
function wantedOf({ contentIds, contentTypes }: RealTimeAnalyticsOptions): Wanted[] {
  const wanted = new Map<string, Wanted>()
  contentIds.forEach((id, index) => {
    if (!wanted.has(id)) wanted.set(id, { id, type: typeOf(contentTypes, id, index) })
  })
  return [...wanted.values()]
}

function typeOf(types: ContentTypes | undefined, id: string, index: number): string | undefined {
  if (types === undefined || typeof types === 'string') return types
  if (isArray(types)) return types[index]
  return Object.hasOwn(types, id) ? types[id] : undefined
}

/** `Array.isArray` does not narrow to a `readonly` array. */
function isArray(types: ContentTypes): types is readonly (string | undefined)[] {
  return Array.isArray(types)
}
