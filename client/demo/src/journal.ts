// What happened, newest first. The rule: a short memory; what scrolls out of it is gone.

import type { Logger } from '@analytics-edge/client'

export interface Entry {
  readonly key: number
  /** In milliseconds since the epoch. */
  readonly at: number
  readonly level: 'info' | 'warn'
  readonly text: string
}

export interface Journal extends Logger {
  subscribe(listener: () => void): () => void
  getSnapshot(): readonly Entry[]
}

const ENTRIES = 40
const LONGEST = 240

export function createJournal(): Journal {
  let entries: readonly Entry[] = []
  let key = 0
  const listeners = new Set<() => void>()

  const add = (level: Entry['level'], message: string, details: unknown) => {
    const text = [message, inWords(details)].filter(Boolean).join(': ').slice(0, LONGEST)
    entries = [{ key: key++, at: Date.now(), level, text }, ...entries].slice(0, ENTRIES)
    for (const listener of listeners) listener()
  }

  return {
    // Too much of it to be read as it passes.
    debug() {},
    info: (message, details) => add('info', message, details),
    warn: (message, details) => add('warn', message, details),
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    getSnapshot: () => entries,
  }
}

function inWords(details: unknown): string {
  if (details === undefined || details === null) return ''
  if (typeof details === 'string') return details
  if (details instanceof Error) return details.message
  return JSON.stringify(details)
}
