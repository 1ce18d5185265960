// The client's options. The rule: checked as a whole and once; what is wrong becomes the client's error, in a sentence that
// names the option, and never an exception in the middle of a page.

import { createError } from './error'
import type { AnalyticsError, ClientOptions, Logger } from './types'

export interface Resolved {
  url: string
  /** `/api/analytics/content` of the edge. */
  contentUrl: string
  configUrl: string
  pollUrls: readonly string[]
  getToken: ClientOptions['getToken']
  interval: number
  releaseDelay: number
  logger: Logger | null
  development: boolean
  WebSocket: typeof WebSocket
  fetch: typeof fetch
  problem: AnalyticsError | null
}

/**
 * What `process.env` says. Bundlers replace the literal, often where there is no `process` at all: asking whether there is
 * one would miss what they put there, so the reading itself is tried.
 */
export function fromEnvironment<T>(literal: () => T): T | undefined {
  try {
    return literal()
  } catch {
    return undefined
  }
}

export const isDevelopment = (): boolean => fromEnvironment(() => process.env.NODE_ENV !== 'production') ?? false

export function resolve(options: ClientOptions): Resolved {
  const problems: string[] = []
  const number = (name: 'interval' | 'releaseDelay', least: number, otherwise: number): number => {
    const value = options[name] ?? otherwise
    if (!(value >= least && value <= 86_400_000))
      problems.push(`${name} must be from ${least} to 86400000 ms, not ${value}`)
    return value
  }
  const url = socketUrl(options.url)
  if (!url)
    problems.push(`url must be the WebSocket of an edge, as in wss://edge.example.com/analytics, not "${options.url}"`)
  // The edge's paths match exactly; in front of them there may be a prefix of whatever stands before it.
  const api = (url ?? '').replace(/^ws/, 'http').replace(/(\/analytics)?\/?(\?.*)?$/, '/api/analytics/')
  const { pollUrl = `${api}content` } = options
  const Implementation = options.WebSocket ?? globalThis.WebSocket
  if (typeof Implementation !== 'function') {
    problems.push('WebSocket must be given where there is none (before Node 22: the one of the package ws)')
  }
  const development = isDevelopment()
  return {
    url: url ?? '',
    contentUrl: `${api}content`,
    configUrl: `${api}performance-config`,
    pollUrls: typeof pollUrl === 'string' ? [pollUrl] : pollUrl,
    getToken: options.getToken,
    interval: number('interval', 100, 30_000),
    releaseDelay: number('releaseDelay', 0, 1_000),
    logger: options.logger === undefined ? (development ? consoleLogger : null) : options.logger,
    development,
    WebSocket: Implementation as unknown as typeof WebSocket,
    fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
    problem: problems.length ? createError('configuration', problems.join('; ')) : null,
  }
}

/** The absolute ws: or wss: address; http addresses and paths of the page's own host are taken too. */
function socketUrl(given: unknown): string | null {
  try {
    if (!/^(wss?:|https?:|\/)/.test(String(given))) return null
    const url = new URL(String(given), typeof location === 'undefined' ? undefined : location.href)
    url.hash = ''
    url.protocol = url.protocol.replace('http', 'ws')
    return /^wss?:$/.test(url.protocol) ? url.href : null
  } catch {
    return null
  }
}

const write =
  (level: 'debug' | 'info' | 'warn') =>
  (message: string, details?: unknown): void =>
    console[level](`[analytics] ${message}`, ...(details === undefined ? [] : [details]))

const consoleLogger: Logger = { debug: write('debug'), info: write('info'), warn: write('warn') }
