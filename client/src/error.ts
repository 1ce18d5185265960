// Errors as values. The rule: an error that reaches a caller has a code for programs and a sentence for people.

import type { AnalyticsError } from './types'
import { HTTP_STATUS } from './wire.gen'

export function createError(code: AnalyticsError['code'], message: string): AnalyticsError {
  return Object.assign(new Error(message), { name: 'AnalyticsError' as const, code })
}

/** The error of an HTTP answer that is none of ours (a page of something in between), or of ours as it says. */
export function answerError(status: number, body: unknown): AnalyticsError {
  const { error, code } = (body ?? {}) as { error?: unknown; code?: unknown }
  return typeof error === 'string' && Object.hasOwn(HTTP_STATUS, String(code))
    ? createError(code as AnalyticsError['code'], error)
    : createError('network', `the answer has status ${status}, and no text`)
}
