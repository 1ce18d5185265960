// Where the edge's HTTP is, and how patient a call is. The rule: what is not given is read from the environment at each
// call, never when a module is loaded; and production guesses no address.

import type { Logger } from '../types'
import { BroadcastError } from './error'
import type { Patience } from './repeat'

/** Where an edge listens on a developer's machine. */
const DEVELOPMENT = 'http://localhost:3001'

/** Options that every call to the edge takes. */
export interface CallOptions {
  /** By default the global one. */
  fetch?: typeof fetch | undefined
  /** How often a call is made at most; by default 5 times. */
  attempts?: number | undefined
  /** How long one attempt may take, in milliseconds; by default 5 000. */
  timeout?: number | undefined
  /** How long all of them may take with the waits between, in milliseconds; by default 20 000. */
  totalTimeout?: number | undefined
  /** `null` for silence. By default the console in development, silence in production. */
  logger?: Logger | null | undefined
}

/**
 * The base addresses of the edge's HTTP, without a slash at the end: of `url`, else of `ANALYTICS_API_URL`, else in
 * development the usual one. Several are separated by commas.
 *
 * @throws BroadcastError `configuration`, naming what is missing or wrong.
 */
export function addresses(url: string | undefined): [string, ...string[]] {
  const named = url ?? apiUrl()
  const [first, ...others] = named.split(',').map(part => address(part.trim(), url === undefined))
  if (first === undefined) throw wrong(named, url === undefined)
  return [first, ...others]
}

/** The token in `ANALYTICS_API_TOKEN`; an empty one is none. */
export function apiToken(): string | undefined {
  return process.env.ANALYTICS_API_TOKEN || undefined
}

/** How patient a call with these options is. */
export function patience({ attempts = 5, timeout = 5_000, totalTimeout = 20_000 }: CallOptions): Patience {
  for (const [name, value] of Object.entries({ attempts, timeout, totalTimeout })) {
    if (!(value >= 1)) throw new BroadcastError('configuration', `${name} must be a number from 1, not ${value}`)
  }
  return { attempts, timeout, totalTimeout }
}

/** Where a call with these options logs to. */
export function loggerOf({ logger }: CallOptions): Logger | null {
  return logger === undefined ? (production() ? null : console) : logger
}

function apiUrl(): string {
  const named = process.env.ANALYTICS_API_URL
  if (named) return named
  if (production()) {
    throw new BroadcastError(
      'configuration',
      'ANALYTICS_API_URL must be set in production: the base address of the edge',
    )
  }
  return DEVELOPMENT
}

function production(): boolean {
  return process.env.NODE_ENV === 'production'
}

function address(text: string, fromEnvironment: boolean): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const plain = url && /^https?:$/.test(url.protocol) && !url.search && !url.hash && !url.username && !url.password
  if (!plain) throw wrong(text, fromEnvironment)
  return text.replace(/\/+$/, '')
}

function wrong(text: string, fromEnvironment: boolean): BroadcastError {
  const name = fromEnvironment ? 'ANALYTICS_API_URL' : 'url'
  // What stands there may hold a password, so a text with one is not repeated.
  const shown = text.includes('@') ? '' : `, not ${JSON.stringify(text)}`
  return new BroadcastError('configuration', `${name} must be like https://edge.example.com${shown}`)
}
