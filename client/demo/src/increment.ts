// Counting from this page. The rule: one key for all tries of one increment, so that a lost answer never counts twice.

import type { Field } from './fields'

export interface Increment {
  readonly contentId: string
  readonly field: Field
  readonly increment: number
  readonly organizationId?: string | undefined
  readonly clientId?: string | undefined
}

export interface Counted {
  readonly value: number
  readonly version: number
}

const TRIES = 4

/** Counts; throws an error with a sentence for people after the last try. `retrying` hears of each one before it. */
export async function count(api: string, increment: Increment, retrying: (problem: string) => void): Promise<Counted> {
  const key = newKey()
  for (let left = TRIES - 1; ; left--) {
    const outcome = await attempt(`${api}/trigger-update`, increment, key)
    if ('counted' in outcome) return outcome.counted
    if (!outcome.again || left === 0) throw new Error(outcome.problem)
    retrying(outcome.problem)
    await new Promise(done => setTimeout(done, outcome.wait * (1 + Math.random())))
  }
}

type Outcome = { counted: Counted } | { problem: string; again: boolean; wait: number }

async function attempt(url: string, increment: Increment, key: string): Promise<Outcome> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'Idempotency-Key': key },
      body: JSON.stringify(increment),
      signal: AbortSignal.timeout(10_000),
    })
    const body: unknown = await response.json()
    const { value, version, error } = (body ?? {}) as { value?: unknown; version?: unknown; error?: unknown }
    if (response.ok && typeof value === 'number' && typeof version === 'number') return { counted: { value, version } }
    const problem = typeof error === 'string' ? error : `the answer has status ${response.status}`
    const wait = (Number(response.headers.get('Retry-After')) || 1) * 1000
    return { problem, again: response.status === 503 || response.status === 429, wait }
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error), again: true, wait: 1000 }
  }
}

// `crypto.randomUUID` is there on https and localhost only.
function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, '0')).join('')
}
