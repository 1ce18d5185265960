// Generated from the Rust types of `analytics-shared` by `ANALYTICS_WRITE_GENERATED=1 cargo test -p analytics-shared generated`.
// The rule: nobody edits this file; a test fails as soon as it is not what the Rust types say.

/** What is counted. */
export type Field = 'views' | 'likes' | 'shares' | 'comments'

/** A machine-readable error code, on the socket and over HTTP. */
export type Code =
  | 'invalid_json'
  | 'invalid_message'
  | 'invalid_field'
  | 'binary_unsupported'
  | 'too_many_ids'
  | 'unauthorized'
  | 'forbidden'
  | 'not_found'
  | 'method_not_allowed'
  | 'out_of_range'
  | 'too_large'
  | 'upgrade_required'
  | 'unsupported_media_type'
  | 'idempotency_mismatch'
  | 'rate_limited'
  | 'unavailable'
  | 'outcome_unknown'
  | 'internal'

/** A score in a word. */
export type Rating = 'poor' | 'average' | 'good' | 'excellent'

/** What a client does after a connection ended. */
export type Reconnect = 'no' | 'backoff' | 'later' | 'fresh-token'

/** What a client sends. A field that is `null` counts as absent. */
export type ClientMessage =
  | {
      type: 'subscribe'
      /** What to watch. */
      contentIds: Array<string>
      /** The organization to watch; left out, the token's. */
      organizationId?: string | null
      /** The client to watch; left out, the token's. */
      clientId?: string | null
      /** Keeps what is subscribed; left out, the subscription is replaced. */
      mode?: 'add' | null
    }
  | {
      type: 'unsubscribe'
      /** What to drop; left out, everything. */
      contentIds?: Array<string> | null
    }
  | {
      type: 'ping'
    }
  | {
      type: 'authenticate'
      /** The new token. */
      token: string
    }

/** What the edge sends. Timestamps are milliseconds since the Unix epoch. */
export type ServerMessage =
  | {
      type: 'connected'
      /** The connection's id. */
      clientId: string
      /** Now. */
      timestamp: number
      /** The store's lowest possible version; what a client remembers below it is void. */
      base: number
    }
  | {
      type: 'subscribed'
      /** The ids that the message named. */
      contentIds: Array<string>
      /** The organization in force. */
      organizationId?: string
      /** The client in force. */
      clientId?: string
      /** Now. */
      timestamp: number
    }
  | {
      type: 'analytics_update'
      /** The content counted. */
      contentId: string
      /** What is counted. */
      field: Field
      /** The absolute count. */
      value: number
      /** When the version was committed. */
      timestamp: number
      /** The counter's organization. */
      organizationId?: string
      /** The counter's client. */
      clientId?: string
      /** The version of the counter. */
      version: number
    }
  | {
      type: 'pong'
      /** Now. */
      timestamp: number
    }
  | {
      type: 'error'
      /** For a person. */
      error: string
      /** For a program. */
      code: Code
      /** Now. */
      timestamp: number
    }
  | {
      type: 'authenticated'
      /** When the new token ends. */
      expiresAt: number
      /** Now. */
      timestamp: number
    }

/** A refusal over HTTP. */
export type ErrorBody = {
  success: false
  /** For a person. */
  error: string
  /** For a program. */
  code: Code
}

/** One value for each of the four metrics. */
export type PerMetric<T> = {
  /** For views. */
  views: T
  /** For likes. */
  likes: T
  /** For shares. */
  shares: T
  /** For comments. */
  comments: T
}

/** The counts from which on a metric is average, good, excellent, and gains nothing more. Rising, from 1 to 2^53−1. */
export type Thresholds = {
  /** Worth 25 points. */
  average: number
  /** Worth 50 points. */
  good: number
  /** Worth 75 points. */
  excellent: number
  /** Worth 100 points, as is everything above. */
  top: number
}

/** When a content is trending. */
export type TrendingCriteria = {
  /** The time over which gains are judged, in milliseconds; from 1. */
  windowMs: number
  /** The gain within a window that a metric needs at least; from 1. */
  minimumGain: PerMetric<number>
  /** The gain within a window that a metric needs at least, as a fraction of what it had before; from 0. */
  minimumGrowth: number
}

/** Thresholds, weights and trending criteria. One that exists is valid. Serializes as served to browsers. */
export type PerformanceConfig = {
  thresholds: PerMetric<Thresholds>
  defaultWeights: PerMetric<number>
  weights: { [key in string]: PerMetric<number> }
  trending: TrendingCriteria
}

/** A score and its rating. */
export type Score = {
  /** From 0 to 100 with two decimals. */
  score: number
  /** What the score amounts to. */
  rating: Rating
}

/** Every field, in the order in which scores add them up. */
export const FIELDS = ['views', 'likes', 'shares', 'comments'] as const

/** The HTTP status of every code; `null` for those that exist on the socket only. */
export const HTTP_STATUS: Readonly<Record<Code, number | null>> = {
  invalid_json: 400,
  invalid_message: null,
  invalid_field: 400,
  binary_unsupported: null,
  too_many_ids: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  method_not_allowed: 405,
  out_of_range: 409,
  too_large: 413,
  upgrade_required: 426,
  unsupported_media_type: 415,
  idempotency_mismatch: 422,
  rate_limited: 429,
  unavailable: 503,
  outcome_unknown: 503,
  internal: 500,
}

/** What a client does after each close code of the edge. Any other code is a broken connection: `backoff`. */
export const RECONNECT: Readonly<Record<number, Reconnect>> = {
  1000: 'no',
  1001: 'backoff',
  1002: 'no',
  1007: 'no',
  1008: 'backoff',
  1009: 'no',
  1012: 'later',
  1013: 'later',
  4401: 'fresh-token',
}
