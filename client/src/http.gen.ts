// Generated from the Rust types of `lambda-trigger` by `ANALYTICS_WRITE_GENERATED=1 cargo test -p lambda-trigger generated`.
// The rule: nobody edits this file; a test fails as soon as it is not what the Rust types say.

import type { ErrorBody, Field, Rating } from './wire.gen'

/** The answer to `GET content`. */
export type ContentAnswer = {
  success: true
  /** The store's lowest possible version; what a client remembers below it is void. */
  base: number
  /** In the order of the ids asked for; several counters of one id stand together. */
  content: Array<CounterAnswer>
}

/** One counter as it stands. */
export type CounterAnswer = {
  contentId: string
  organizationId?: string
  clientId?: string
  views: number
  likes: number
  shares: number
  comments: number
  /** The store's base for a content that was never counted. */
  version: number
  /** When the version was committed, in milliseconds since the Unix epoch; 0 for a content that was never counted. */
  timestamp: number
  /** From 0 to 100 with two decimals. */
  score: number
  rating: Rating
}

/** What was counted, as a single answer. */
export type TriggerAnswer = {
  success: true
  contentId: string
  organizationId?: string
  clientId?: string
  field: Field
  /** The absolute count. */
  value: number
  version: number
  /** When the version was committed, in milliseconds since the Unix epoch. */
  timestamp: number
}

/** The answer to a batch. */
export type BatchAnswer = {
  success: true
  /** In the order of the updates. */
  results: Array<Replayable<TriggerAnswer | ErrorBody>>
}

/** An answer as it would stand alone, and what a single call says in a header. */
export type Replayable<T> = {
  /** The outcome is that of an earlier call under the same key. */
  replayed?: boolean
} & T

/** The answer to `GET trigger-update`. */
export type StatusAnswer = {
  status: StatusReport
}

/** The state of the process that answers. */
export type StatusReport = {
  /** Whether plausible increments are being made up. */
  simulationRunning: boolean
  /** Open sockets of every proxy seen in the last 30 seconds. */
  connectedClients: number
  /** Now, in milliseconds since the Unix epoch. */
  timestamp: number
}
