// Making a call until its answer is final. The rule: only calls that may be repeated come here; every attempt is bounded
// in time, all of them together too, and between two lies at least what the edge asked for.

import { retryAfter } from '../retry-after'

/** The first wait is up to this long, each later one up to twice the one before, in milliseconds. */
const FIRST_WAIT = 100

/** No wait of our own choice is longer, in milliseconds. */
const LONGEST_WAIT = 5_000

/** "Come again": too many calls, and what gateways and edges answer while something behind them is down. */
const AGAIN: ReadonlySet<number> = new Set([429, 502, 503, 504])

/** How often and how long. Times are in milliseconds. */
export interface Patience {
  attempts: number
  /** Of one attempt, with its body. */
  timeout: number
  /** Of all attempts and the waits between. */
  totalTimeout: number
}

/** An answer that came whole. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: string
}

/** What became of a call. */
export interface Outcome {
  /** The last answer, or why there was none. */
  readonly last: Answer | Error
  /** Some attempt may have had its effect without an answer that says so. */
  readonly unknown: boolean
}

/** One attempt: its answer with the body, or why there is none. */
export async function attempt(
  call: (signal: AbortSignal) => Promise<Response>,
  timeout: number,
): Promise<Answer | Error> {
  try {
    const response = await call(AbortSignal.timeout(timeout))
    return { status: response.status, headers: response.headers, body: await response.text() }
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

/**
 * Makes a call until its answer is final, or patience ends. Without an answer, and with those that say "come again", it
 * goes on; `again` may say so of others.
 *
 * @param note is told why there will be another attempt, and in how many milliseconds
 */
export async function repeat(
  call: (signal: AbortSignal) => Promise<Response>,
  { attempts, timeout, totalTimeout }: Patience,
  again: (answer: Answer) => boolean,
  note: (why: string, wait: number) => void,
): Promise<Outcome> {
  const end = performance.now() + totalTimeout
  let unknown = false
  for (let made = 1; ; made++) {
    const last = await attempt(call, Math.max(1, Math.min(timeout, end - performance.now())))
    const settled = !(last instanceof Error) && !AGAIN.has(last.status) && !again(last)
    if (settled) return { last, unknown }
    unknown ||= mayHaveActed(last)
    const wait = waitAfter(last, made)
    if (made >= attempts || performance.now() + wait >= end) return { last, unknown }
    note(reasonOf(last), wait)
    await new Promise(resolve => setTimeout(resolve, wait))
  }
}

/** Whether another address may do better: nothing came, or a gateway's or an edge's word that it cannot now. */
export function failedOver(answer: Answer | Error): boolean {
  return answer instanceof Error || AGAIN.has(answer.status)
}

/** Why there was no final answer, for a person. */
export function reasonOf(last: Answer | Error): string {
  if (!(last instanceof Error)) return `answered with ${last.status}`
  // `fetch` says "fetch failed" and puts what happened into the cause.
  return last.cause instanceof Error ? `${last.message}: ${last.cause.message}` : last.message
}

/** The object that the answer's body holds, if it holds one. */
export function objectOf(answer: Answer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(answer.body)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined
  } catch {
    return undefined
  }
}

/** `unavailable` and `rate_limited` are the edge's word that nothing was counted; of all else nobody knows. */
function mayHaveActed(last: Answer | Error): boolean {
  if (last instanceof Error) return true
  const code = objectOf(last)?.code
  return !(last.status === 503 && code === 'unavailable') && !(last.status === 429 && code === 'rate_limited')
}

/** What the answer asks for, and on top exponential backoff with full jitter, so that not all come at once. */
function waitAfter(last: Answer | Error, made: number): number {
  const jitter = Math.random() * Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** (made - 1))
  return last instanceof Error ? jitter : jitter + retryAfter(last.headers)
}
