// Why a count did not go through. The rule: an error says whether anything may have been counted all the same, and
// carries the key under which the very same call can be made again without counting twice.

import type { Code } from '../wire.gen'

/**
 * The edge's codes, and: `configuration` (an option or a variable is missing or wrong), `token` (`getToken` failed),
 * `network` (no answer came, or one that is not the edge's).
 */
export type BroadcastCode = Code | 'configuration' | 'token' | 'network'

/** What is known beside the code. */
export interface BroadcastDetails {
  status?: number | undefined
  counted?: 'no' | 'unknown' | undefined
  idempotencyKey?: string | undefined
  cause?: unknown
}

/** A call to the edge that failed for good. */
export class BroadcastError extends Error {
  override readonly name = 'BroadcastError'
  readonly code: BroadcastCode
  /** The HTTP status, where an answer came. */
  readonly status: number | undefined
  /** `unknown`: an attempt may have counted without its answer arriving. */
  readonly counted: 'no' | 'unknown'
  /** Given as `idempotencyKey` within 24 hours, the same call counts once however often it is made. */
  readonly idempotencyKey: string | undefined

  constructor(code: BroadcastCode, message: string, details: BroadcastDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.status = details.status
    this.counted = details.counted ?? 'no'
    this.idempotencyKey = details.idempotencyKey
  }
}
