// What the package speaks of. The rule: types only, no behaviour, so that every entry point may import it for nothing.

import type { Code, Field } from './wire.gen'

export type { Code, Field }

/** Whose counters are watched. What is left out comes from the token; without a token, the public counters. */
export interface Scope {
  organizationId?: string | undefined
  /** Only beside an `organizationId`. */
  clientId?: string | undefined
}

/**
 * - `idle`: nothing is watched, or only with simulated updates
 * - `connecting`: the first attempt is under way
 * - `live`: the edge pushes every change
 * - `polling`: the socket is down, the last poll was answered
 * - `reconnecting`: the socket is down and no poll is answered; what is shown is the last that was known
 * - `failed`: given up, `error` says why; `reconnect()` tries again
 */
export type Status = 'idle' | 'connecting' | 'live' | 'polling' | 'reconnecting' | 'failed'

/** Where the values shown come from. */
export type Source = 'socket' | 'poll' | 'simulated'

/** One counter: the counts of a content within one organization and client. */
export interface CounterView {
  readonly organizationId?: string
  readonly clientId?: string
  readonly views: number
  readonly likes: number
  readonly shares: number
  readonly comments: number
  /** The newest version among the four fields. */
  readonly version: number
  /** When that version was committed, in milliseconds since the epoch. */
  readonly updatedAt: number
}

/** A content as it stands: the sum over the counters that the scope shows. The object is the same until one changes. */
export interface ContentAnalytics {
  readonly views: number
  readonly likes: number
  readonly shares: number
  readonly comments: number
  /** 0 to 100. */
  readonly score: number
  readonly rating: 'excellent' | 'good' | 'average' | 'poor'
  readonly trending: boolean
  /** When the newest change was committed, in milliseconds since the epoch; `null` for a content never counted. */
  readonly updatedAt: number | null
  /** What is summed up; normally one. */
  readonly counters: readonly CounterView[]
}

/** One change of one field. */
export interface Update {
  readonly contentId: string
  readonly organizationId?: string
  readonly clientId?: string
  readonly field: Field
  /** The absolute count. */
  readonly value: number
  /** Of its counter; 0 for an invented change, which has none. */
  readonly version: number
  /** When it was committed, in milliseconds since the epoch. */
  readonly timestamp: number
  readonly source: Source
  /** It became known and is no news: what a subscription or a poll begins with. Told by versions, not by a clock. */
  readonly initial: boolean
}

/** Why something failed. `code` is one of the edge's, or one of this package's own. */
export interface AnalyticsError extends Error {
  readonly name: 'AnalyticsError'
  /**
   * The edge's codes, and: `configuration` (an option is missing or wrong), `network` (no answer came),
   * `token` (`getToken` failed), `closed` (the edge ended the connection for good).
   */
  readonly code: Code | 'configuration' | 'network' | 'token' | 'closed'
}

/** The state of a view. The object is the same until something changes. */
export interface Snapshot {
  readonly status: Status
  readonly source: Source | null
  /** `status` is `live`. */
  readonly isLive: boolean
  /** Values are shown that nobody confirms at present. */
  readonly isStale: boolean
  /** When a value last came, by this machine's clock. */
  readonly lastUpdatedAt: number | null
  readonly error: AnalyticsError | null
}

export interface WatchOptions {
  /**
   * How often to poll while the socket is down, in milliseconds, from 100 to a day; the smallest among all watchers
   * counts. One outside of that is the client's.
   */
  interval?: number | undefined
}

/** What one scope shows. */
export interface AnalyticsView {
  /** Watches contents until the returned function is called; a content may be watched many times over. */
  watch(ids: readonly string[], options?: WatchOptions): () => void
  /** Calls back after something changed, at most once per animation frame. */
  subscribe(listener: () => void): () => void
  getSnapshot(): Snapshot
  /** A content's counts, `undefined` while nothing is known of it. */
  read(contentId: string, contentType?: string): ContentAnalytics | undefined
  /** Calls back at once with every change. */
  onUpdate(listener: (update: Update) => void): () => void
  /** Asks for everything watched now, by HTTP. Rejects with an {@link AnalyticsError} when no address answers. */
  refetch(): Promise<void>
}

export interface AnalyticsClient {
  /** As in {@link AnalyticsView.watch}, in a scope. */
  watch(ids: readonly string[], scope?: Scope, options?: WatchOptions): () => void
  /** Calls back after anything changed in any scope, at most once per animation frame and scope. */
  subscribe(listener: () => void): () => void
  /** The state in a scope; without one, the worst among all scopes that are watched. */
  getSnapshot(scope?: Scope): Snapshot
  /** The view of a scope; with `simulate`, one that invents changes on top of the last real values. */
  view(scope?: Scope, options?: { simulate?: boolean | undefined }): AnalyticsView
  /** Connects now, also after `failed`. */
  reconnect(): void
  /** Closes all sockets for good. */
  close(): void
}

export interface TokenContext {
  /** `expired`: the last token has ended, is about to, or was refused. */
  reason: 'connect' | 'expired'
}

export interface Logger {
  debug(message: string, details?: unknown): void
  info(message: string, details?: unknown): void
  warn(message: string, details?: unknown): void
}

export interface ClientOptions {
  /** The edge's WebSocket: `wss://edge.example.com/analytics`. */
  url: string
  /** Where to poll while the socket is down, tried in order; by default `/api/analytics/content` of the edge. */
  pollUrl?: string | readonly string[] | undefined
  /** Called at every connect, and before a token ends. Several needs at once share one call. */
  getToken?: ((context: TokenContext) => string | null | undefined | Promise<string | null | undefined>) | undefined
  /** How often to poll unless a watcher says otherwise, in milliseconds. */
  interval?: number | undefined
  /** How long a content stays subscribed after its last watcher left, in milliseconds. */
  releaseDelay?: number | undefined
  /** `null` for silence. By default the console in development, silence in production. */
  logger?: Logger | null | undefined
  /** In place of the global one, which there is not before Node 22: there, the one of the package `ws`. */
  WebSocket?: (new (url: string, protocols?: string[]) => object) | undefined
  /** In place of the global one. */
  fetch?: typeof fetch | undefined
}
