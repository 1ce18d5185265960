// Scores in TypeScript. The rule: to the bit what `shared/vectors/performance.json` says, which Rust computed.

import { describe, expect, it, vi } from 'vitest'
import vectors from '../../../shared/vectors/performance.json'
import {
  getPerformanceConfig,
  loadPerformanceConfig,
  type PerformanceConfig,
  score,
  trending,
} from '../../src/performance'

const configs: Readonly<Record<string, PerformanceConfig>> = vectors.configs

function configOf(name: string): PerformanceConfig {
  const config = configs[name]
  if (config === undefined) throw new Error(`the vectors have no configuration ${name}`)
  return config
}

/** A `fetch` that answers every call with this JSON. */
const serving = (json: unknown, status = 200) => vi.fn<typeof fetch>(async () => Response.json(json, { status }))

describe('the built-in configurations', () => {
  it.each(['development', 'production'] as const)('%s is that of the edge', mode => {
    expect(getPerformanceConfig(mode)).toEqual(configOf(mode))
  })

  it.each([
    ['production', 'production'],
    ['development', 'development'],
    ['test', 'development'],
    ['', 'development'],
  ] as const)('with NODE_ENV %j it is that of %s', (variable, mode) => {
    vi.stubEnv('NODE_ENV', variable)
    expect(getPerformanceConfig()).toEqual(configOf(mode))
    vi.unstubAllEnvs()
  })

  it('is that of production on a page without a bundler', () => {
    vi.stubGlobal('process', undefined)
    const config = getPerformanceConfig()
    vi.unstubAllGlobals()
    expect(config).toEqual(configOf('production'))
  })
})

describe('the vectors', () => {
  it('has cases of every kind', () => {
    expect(vectors.scores.length).toBeGreaterThan(100)
    expect(vectors.trending.length).toBeGreaterThan(100)
    expect(vectors.unknownTypes.length).toBeGreaterThan(10)
  })

  it('scores as Rust does', () => {
    for (const { config, type, counts, ...expected } of vectors.scores) {
      expect(score(counts, type ?? undefined, configOf(config)), `${config} ${type} ${JSON.stringify(counts)}`).toEqual(
        expected,
      )
    }
  })

  it('refuses the types that Rust refuses', () => {
    const none = { views: 0, likes: 0, shares: 0, comments: 0 }
    for (const { config, type, known } of vectors.unknownTypes) {
      const refused = new RangeError(`type must be one of ${known.join(', ')}`)
      expect(() => score(none, type, configOf(config)), `${config} ${type}`).toThrow(refused)
    }
  })

  it('trends as Rust does', () => {
    for (const { config, trending: expected, ...change } of vectors.trending) {
      expect(trending(change, configOf(config)), `${config} ${JSON.stringify(change)}`).toBe(expected)
    }
  })
})

describe('a configuration from the edge', () => {
  const url = 'http://edge.test/api/analytics/performance-config'

  it.each(Object.keys(configs))('is taken as it is served: %s', async name => {
    const fetch = serving(configOf(name))
    expect(await loadPerformanceConfig(url, { fetch })).toEqual(configOf(name))
    expect(fetch.mock.calls[0]?.[0]).toBe(url)
  })

  it('may know more than this package does', async () => {
    const fetch = serving({ ...configOf('development'), seasons: [1] })
    expect(await loadPerformanceConfig(url, { fetch })).toEqual(configOf('development'))
  })

  it.each<[string, (config: ReturnType<typeof draft>) => void]>([
    ['thresholds must be an object', config => Object.assign(config, { thresholds: 1 })],
    ['thresholds.likes must be an object', config => Object.assign(config.thresholds, { likes: null })],
    [
      'thresholds.likes.top must be an integer from 1 to 2^53-1',
      config => Object.assign(config.thresholds.likes, { top: 2 ** 53 }),
    ],
    ['thresholds.likes.good must be greater than 3', config => Object.assign(config.thresholds.likes, { good: 3 })],
    ['defaultWeights must be an object', config => Object.assign(config, { defaultWeights: undefined })],
    [
      'weights.video.views must be a number from 0 to 1000000',
      config => Object.assign(config.weights.video, { views: '5' }),
    ],
    [
      'weights.video must be above 0 for some metric',
      config => Object.assign(config.weights.video, { views: 0, likes: 0, shares: 0, comments: 0 }),
    ],
    ['trending must be an object', config => Object.assign(config, { trending: null })],
    [
      'trending.windowMs must be an integer from 1 to 2^53-1',
      config => Object.assign(config.trending, { windowMs: 0.5 }),
    ],
    [
      'trending.minimumGain.shares must be an integer from 1 to 2^53-1',
      config => Object.assign(config.trending.minimumGain, { shares: 0 }),
    ],
    [
      'trending.minimumGrowth must be a number from 0 to 1000000',
      config => Object.assign(config.trending, { minimumGrowth: -1 }),
    ],
  ])('is refused by the name of its key: %s', async (message, spoil) => {
    const config = draft()
    spoil(config)
    await expect(loadPerformanceConfig(url, { fetch: serving(config) })).rejects.toThrow(new Error(message))
  })

  it('is refused when it is no object, or not served', async () => {
    const refused = 'the performance configuration must be an object'
    await expect(loadPerformanceConfig(url, { fetch: serving(null) })).rejects.toThrow(refused)
    await expect(loadPerformanceConfig(url, { fetch: serving({}, 503) })).rejects.toThrow('answered with 503')
  })

  it('hands the signal on', async () => {
    const fetch = serving(configOf('development'))
    const { signal } = new AbortController()
    await loadPerformanceConfig(url, { fetch, signal })
    expect(fetch.mock.calls[0]?.[1]?.signal).toBe(signal)
  })
})

/** A copy to spoil. */
function draft() {
  return structuredClone(vectors.configs.development)
}
