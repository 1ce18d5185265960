// The state of the connection in words. The rule: the first word answers "is it live?", the rest says what that means.

import type { Source, Status } from '@analytics-edge/client'

export type Tone = 'live' | 'waiting' | 'fallback' | 'simulated' | 'failed' | 'quiet'

export interface Words {
  readonly tone: Tone
  readonly title: string
  readonly detail: string
}

export interface ConnectionState {
  readonly status: Status
  readonly source: Source | null
  /** Why it failed. */
  readonly error: string | null
  readonly enabled: boolean
  readonly watched: number
  readonly simulate: boolean
}

/** What a state is called. */
export function connectionWords({ status, source, error, enabled, watched, simulate }: ConnectionState): Words {
  if (watched === 0) return { tone: 'quiet', title: 'Idle', detail: 'nothing is watched' }
  if (!enabled) return { tone: 'quiet', title: 'Paused', detail: 'nothing is asked for, the last values stay' }
  if (simulate || source === 'simulated') {
    return { tone: 'simulated', title: 'Simulated', detail: 'these numbers are made up in this page' }
  }
  switch (status) {
    case 'live':
      return { tone: 'live', title: 'Live', detail: 'the edge pushes every change' }
    case 'polling':
      return { tone: 'fallback', title: 'Polling', detail: 'the socket is down, values come by HTTP' }
    case 'reconnecting':
      return { tone: 'fallback', title: 'Reconnecting', detail: 'the last known values are shown' }
    case 'failed':
      return { tone: 'failed', title: 'Failed', detail: error ?? 'no further attempt is made' }
    case 'connecting':
      return { tone: 'waiting', title: 'Connecting', detail: 'waiting for the edge' }
    case 'idle':
      return { tone: 'quiet', title: 'Idle', detail: 'nothing is asked for' }
  }
}
