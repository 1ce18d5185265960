// Numbers and times as people read them. The rule: all of it by Intl; figures follow the reader's locale, words are those
// of the page.

/** Counts from here on are shortened. */
const LONG = 10_000_000

export interface Format {
  /** A count: all digits, or shortened where they would not fit. */
  count(value: number): string
  /** A count with all its digits. */
  exact(value: number): string
  /** A change, with its sign; 0 has none. */
  change(value: number): string
  /** Something per second. */
  rate(value: number): string
  /** A score of 0 to 100. */
  score(value: number): string
  /** A short time, in milliseconds. */
  lag(milliseconds: number): string
  /** How long ago, in milliseconds. */
  ago(milliseconds: number): string
  /** A time of day to the second, from milliseconds since the epoch. */
  clock(time: number): string
}

export function createFormat(locale?: string): Format {
  const whole = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 })
  const short = new Intl.NumberFormat(locale, { notation: 'compact', maximumFractionDigits: 2 })
  const sign = { signDisplay: 'exceptZero' } as const
  const change = new Intl.NumberFormat(locale, { ...sign, maximumFractionDigits: 0 })
  const shortChange = new Intl.NumberFormat(locale, { ...sign, notation: 'compact', maximumFractionDigits: 1 })
  const tenths = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 })
  const relative = new Intl.RelativeTimeFormat('en', { style: 'short', numeric: 'always' })
  const clock = new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit', second: '2-digit' })

  return {
    count: value => (Math.abs(value) < LONG ? whole : short).format(value),
    exact: value => whole.format(value),
    change: value => (Math.abs(value) < LONG / 10 ? change : shortChange).format(value),
    rate: value => (value < 10 ? tenths : whole).format(value),
    score: value => tenths.format(value),
    lag: value => (value < 1000 ? `${whole.format(value)} ms` : `${tenths.format(value / 1000)} s`),
    ago(value) {
      const past = Math.max(0, Math.floor(value / 1000))
      if (past < 1) return 'just now'
      if (past < 60) return relative.format(-past, 'second').replace('sec.', 's')
      if (past < 3_600) return relative.format(-Math.floor(past / 60), 'minute').replace('min.', 'min')
      if (past < 86_400) return relative.format(-Math.floor(past / 3_600), 'hour').replace('hr.', 'h')
      return relative.format(-Math.floor(past / 86_400), 'day')
    },
    clock: time => clock.format(time),
  }
}

/** That of the reader. */
export const format = createFormat()
