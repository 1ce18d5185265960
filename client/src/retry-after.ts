// When an answer says to come again. The rule: a time that can be read is kept, up to a bound; a timer's range is smaller than
// what a header can say.

/** Whoever asks for more, in milliseconds, is asked sooner. */
const LONGEST = 600_000

/** `Retry-After` (RFC 9110 §10.2.3), seconds or a date, in milliseconds from now; 0 without one that can be read. */
export function retryAfter(headers: Headers): number {
  const value = headers.get('retry-after') ?? ''
  const wait = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now()
  return Math.min(Math.max(wait || 0, 0), LONGEST)
}
