// A thousand clients in one process. The rule: each is the package's own, with nothing shared between them but the process,
// and it is noted when each one means to try again, and when it did: a busy machine moves the latter.

import { WebSocket } from 'ws'
import { createAnalyticsClient } from '../../src/index'
import type { AnalyticsClient, Logger } from '../../src/types'

export interface Member {
  readonly client: AnalyticsClient
  /** When it first means to ask for another socket, by this machine's clock; 0 until it lost the first. */
  plannedAt: number
  /** The close code. */
  code: number
  /** When it first asked for another socket; 0 until then. */
  againAt: number
}

/** Starts that many clients, each watching one content. */
export function gather(count: number, url: string, contentId: string): Member[] {
  return Array.from({ length: count }, () => {
    const member = { plannedAt: 0, code: 0, againAt: 0 }
    let sockets = 0
    class Noted extends WebSocket {
      constructor(...args: ConstructorParameters<typeof WebSocket>) {
        super(...args)
        sockets++
        if (sockets === 2) member.againAt = Date.now()
        if (sockets > 1) return
        this.on('close', code => {
          member.code = code
        })
      }
    }
    const logger: Logger = {
      debug: () => {},
      warn: () => {},
      info: (message, details) => {
        const { inMs } = (details ?? {}) as { inMs?: number }
        if (message === 'connection: next attempt' && !member.plannedAt) member.plannedAt = Date.now() + (inMs ?? 0)
      },
    }
    // Only the way back is looked at: polls of a thousand clients from one process would be a test of that process.
    const client = createAnalyticsClient({ url, WebSocket: Noted, logger, interval: 3_600_000 })
    client.watch([contentId])
    return Object.assign(member, { client })
  })
}

/** Whether a client is live and shows that many views. */
export function shows(member: Member, contentId: string, views: number): boolean {
  return member.client.getSnapshot().isLive && member.client.view().read(contentId)?.views === views
}
