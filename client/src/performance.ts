// How well a content does: score, rating, trending. The rule: the same arithmetic in the same order as
// `shared/src/performance.rs`, which documents the formulas, so that a browser gets the server's numbers to the bit.

import type { Field, PerformanceConfig, PerMetric, Rating, Score, Thresholds } from './wire.gen'
import { FIELDS } from './wire.gen'

export type { PerformanceConfig, PerMetric, Rating, Score, Thresholds, TrendingCriteria } from './wire.gen'

/** The four counts of a content, integers from 0 to 2^53−1. */
export type Counts = Readonly<PerMetric<number>>

/** A content's counts at two times. */
export interface RecentChange {
  before: Counts
  /** Lower counts are no gain. */
  after: Counts
  /** The time between, in milliseconds. */
  elapsedMs: number
}

/** What {@link loadPerformanceConfig} may be given. */
export interface LoadOptions {
  /** By default the global one. */
  fetch?: typeof fetch | undefined
  /** Gives up. */
  signal?: AbortSignal | undefined
}

/** In the order of {@link FIELDS}. */
type Four<T> = readonly [T, T, T, T]

const per = <T>([views, likes, shares, comments]: Four<T>): PerMetric<T> => ({ views, likes, shares, comments })

const rising = ([average, good, excellent, top]: Four<number>): Thresholds => ({ average, good, excellent, top })

const config = (thresholds: Four<Four<number>>, windowMs: number, gains: Four<number>): PerformanceConfig => {
  const [views, likes, shares, comments] = thresholds
  return {
    thresholds: per([rising(views), rising(likes), rising(shares), rising(comments)]),
    defaultWeights: per([4, 3, 2, 1]),
    weights: {
      article: per([4, 2, 2, 2]),
      image: per([3, 5, 1, 1]),
      post: per([2, 3, 2, 3]),
      product: per([5, 2, 1, 2]),
      video: per([5, 3, 1, 1]),
    },
    trending: { windowMs, minimumGain: per(gains), minimumGrowth: 0.1 },
  }
}

/**
 * The built-in configuration of a mode; they differ in scale only. By default the mode of `NODE_ENV`: `production` where
 * it says so or nothing is known of it (a page without a bundler), else `development`.
 */
export function getPerformanceConfig(mode: 'development' | 'production' = ownMode()): PerformanceConfig {
  const few: Four<number> = [2, 5, 20, 100]
  const some: Four<number> = [10, 100, 1e3, 1e4]
  return mode === 'production'
    ? config([[1e3, 1e4, 1e5, 1e6], [50, 500, 5e3, 5e4], some, some], 36e5, [500, 50, 20, 20])
    : config([[10, 50, 200, 1e3], [3, 10, 40, 200], few, few], 6e4, [5, 2, 2, 2])
}

function ownMode() {
  try {
    // Literally so, for bundlers to put the value in its place; they leave nothing that `typeof process` could find.
    return process.env.NODE_ENV === 'production' ? 'production' : 'development'
  } catch {
    return 'production'
  }
}

/**
 * How well a content of this type does; by the default weights if no type is given.
 *
 * @throws RangeError for a type without weights; its text names those that have some.
 */
export function score(counts: Counts, contentType: string | undefined, config: PerformanceConfig): Score {
  const weights = contentType === undefined ? config.defaultWeights : weightsOf(contentType, config)
  let sum = 0
  let total = 0
  for (const field of FIELDS) {
    sum += weights[field] * points(counts[field], config.thresholds[field])
    total += weights[field]
  }
  const score = Math.floor(Math.min(sum / total, 100) * 100 + 0.5) / 100
  return { score, rating: ratingOf(score) }
}

/** Whether a content gains fast enough to be called trending. */
export function trending({ before, after, elapsedMs }: RecentChange, config: PerformanceConfig): boolean {
  const { windowMs, minimumGain, minimumGrowth } = config.trending
  const elapsed = Math.max(elapsedMs, windowMs)
  return FIELDS.some(field => {
    const recent = ((after[field] - before[field]) * windowMs) / elapsed
    return recent >= minimumGain[field] && recent >= minimumGrowth * before[field]
  })
}

function weightsOf(contentType: string, { weights }: PerformanceConfig): PerMetric<number> {
  const own = Object.hasOwn(weights, contentType) ? weights[contentType] : undefined
  if (own) return own
  throw new RangeError(`type must be one of ${Object.keys(weights).sort().join(', ')}`)
}

function ratingOf(score: number): Rating {
  return score >= 75 ? 'excellent' : score >= 50 ? 'good' : score >= 25 ? 'average' : 'poor'
}

function points(value: number, { average, good, excellent, top }: Thresholds): number {
  let last = 0
  let step = 0
  for (const next of [average, good, excellent, top]) {
    if (value < next) return 25 * (step + (value - last) / (next - last))
    last = next
    step++
  }
  return 100
}

/**
 * The configuration that an edge serves, from `…/api/analytics/performance-config`.
 *
 * @throws what `fetch` throws; an Error that names the status, or the key that is not as it must be.
 */
export async function loadPerformanceConfig(url: string, options: LoadOptions = {}): Promise<PerformanceConfig> {
  const response = await (options.fetch ?? fetch)(url, { signal: options.signal ?? null })
  if (!response.ok) throw new Error(`the performance configuration was answered with ${response.status}`)
  const json = object(await response.json(), 'the performance configuration')
  const criteria = object(json.trending, 'trending')
  const types = Object.entries(object(json.weights, 'weights'))
  return {
    thresholds: each(json.thresholds, 'thresholds', thresholdsAt),
    defaultWeights: weightsAt(json.defaultWeights, 'defaultWeights'),
    weights: Object.fromEntries(types.map(([type, of]) => [type, weightsAt(of, `weights.${type}`)])),
    trending: {
      windowMs: count(criteria.windowMs, 'trending.windowMs'),
      minimumGain: each(criteria.minimumGain, 'trending.minimumGain', count),
      minimumGrowth: amount(criteria.minimumGrowth, 'trending.minimumGrowth'),
    },
  }
}

const must = (key: string, be: string): never => {
  throw new Error(`${key} must be ${be}`)
}

const object = (value: unknown, key: string): Record<string, unknown> =>
  typeof value === 'object' && value ? { ...value } : must(key, 'an object')

const amount = (value: unknown, key: string): number =>
  typeof value === 'number' && value >= 0 && value <= 1e6 ? value : must(key, 'a number from 0 to 1000000')

const count = (value: unknown, key: string): number =>
  Number.isSafeInteger(value) && Number(value) > 0 ? Number(value) : must(key, 'an integer from 1 to 2^53-1')

const each = <T>(value: unknown, key: string, at: (value: unknown, key: string) => T): PerMetric<T> => {
  const of = object(value, key)
  const one = (field: Field) => at(of[field], `${key}.${field}`)
  return per([one('views'), one('likes'), one('shares'), one('comments')])
}

const weightsAt = (value: unknown, key: string): PerMetric<number> => {
  const weights = each(value, key, amount)
  return FIELDS.some(field => weights[field]) ? weights : must(key, 'above 0 for some metric')
}

const thresholdsAt = (value: unknown, key: string): Thresholds => {
  const of = object(value, key)
  let last = 0
  const next = (name: keyof Thresholds) => {
    const at = `${key}.${name}`
    const threshold = count(of[name], at)
    if (threshold <= last) must(at, `greater than ${last}`)
    last = threshold
    return threshold
  }
  return rising([next('average'), next('good'), next('excellent'), next('top')])
}
