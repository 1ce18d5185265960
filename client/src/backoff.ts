// When to come back. The rule: every wait is drawn from its whole range, so that clients which were lost together do not
// return together; and the close code says whether to return at all.

import { RECONNECT } from './wire.gen'

/** The range of the first wait, in milliseconds; each further one is twice as wide. */
const FIRST = 4_000
const WIDEST = 30_000
/** The range that is added to what a restarting or crowded edge asks for: it will be busy with everybody else too. */
const AFTER_RESTART = 10_000

/** A wait in milliseconds after so many attempts in vain (0: the first). */
export const backoff = (attempt: number): number => Math.random() * Math.min(WIDEST, FIRST * 2 ** attempt)

/** A wait that was told, in milliseconds, widely spread. */
export const later = (told: number, attempt: number): number =>
  told + Math.random() * Math.min(WIDEST, AFTER_RESTART * 2 ** attempt)

/** What a close code asks for: a wait in milliseconds and whether a fresh token is needed; null is the end. */
export function afterClose(
  code: number,
  reason: string,
  attempt: number,
): { wait: number; reason: 'connect' | 'expired' } | null {
  switch (RECONNECT[code] ?? 'backoff') {
    case 'no':
      return null
    case 'later':
      return { wait: later(Number(/retry-after=(\d{1,6})/.exec(reason)?.[1] ?? 0), attempt), reason: 'connect' }
    case 'fresh-token':
      return { wait: attempt ? backoff(attempt) : 0, reason: 'expired' }
    case 'backoff':
      return { wait: backoff(attempt), reason: 'connect' }
  }
}
