// What the page notes for the tests. The rule: it only looks on, and stays small however long the page lives.

import type { Source, Status } from '@analytics-edge/client'

export interface SocketRecord {
  /** When it was asked for, by this machine's clock, as all times here. */
  at: number
  openedAt: number | null
  closedAt: number | null
  code: number | null
}

export interface PageRecord {
  sockets: SocketRecord[]
  renders: number
  /** Every status and source that was rendered, each change once. */
  history: Array<{ status: Status; source: Source | null; at: number }>
  /** Per content the views that were rendered last, and when. */
  seen: Record<string, { views: number; at: number }>
  /** How often fewer views were rendered than before. */
  wentBack: number
  /** Calls of `onUpdate`. */
  updates: number
  /** Why tokens were asked for. */
  tokens: string[]
  /** Whether each `pageshow` brought back the page as it was. */
  pageshows: boolean[]
}

declare global {
  interface Window {
    record: PageRecord
    /** Given by the test. */
    mintToken?: (reason: string) => Promise<string>
  }
}

export const record: PageRecord = {
  sockets: [],
  renders: 0,
  history: [],
  seen: {},
  wentBack: 0,
  updates: 0,
  tokens: [],
  pageshows: [],
}

window.record = record
window.addEventListener('pageshow', event => record.pageshows.push(event.persisted))

/** The browser's WebSocket, noted. */
export class RecordedSocket extends WebSocket {
  constructor(url: string | URL, protocols?: string | string[]) {
    super(url, protocols)
    const own: SocketRecord = { at: Date.now(), openedAt: null, closedAt: null, code: null }
    record.sockets.push(own)
    this.addEventListener('open', () => {
      own.openedAt = Date.now()
    })
    this.addEventListener('close', ({ code }) => {
      own.closedAt = Date.now()
      own.code = code
    })
  }
}

export function noteStatus(status: Status, source: Source | null): void {
  const last = record.history.at(-1)
  if (last?.status !== status || last.source !== source) record.history.push({ status, source, at: Date.now() })
}

export function noteViews(id: string, views: number): void {
  const last = record.seen[id]
  if (last?.views === views) return
  if (last && views < last.views) record.wentBack++
  record.seen[id] = { views, at: Date.now() }
}
