// What the edge says of itself. The rule: asked rarely, only while the page is looked at, and an answer that does not come
// takes nothing from the page.

import { useEffect, useState } from 'react'

export interface EdgeStatus {
  readonly connectedClients: number
  readonly simulationRunning: boolean
}

const EVERY = 10_000

/** The newest status; `null` where none is known. */
export function useEdgeStatus(api: string, live: boolean): EdgeStatus | null {
  const [status, set] = useState<EdgeStatus | null>(null)

  useEffect(() => {
    const gone = new AbortController()
    const ask = async () => {
      if (document.visibilityState === 'hidden') return
      const body = await fetch(`${api}/trigger-update`, { signal: gone.signal })
        .then(response => (response.ok ? response.json() : null))
        .catch(() => null)
      if (!gone.signal.aborted) set(parse(body))
    }
    // A socket that has just become live is counted, too.
    if (live) void ask()
    const timer = setInterval(ask, EVERY)
    return () => {
      gone.abort()
      clearInterval(timer)
    }
  }, [api, live])

  return status
}

function parse(body: unknown): EdgeStatus | null {
  const { status } = (body ?? {}) as { status?: { connectedClients?: unknown; simulationRunning?: unknown } }
  const { connectedClients, simulationRunning } = status ?? {}
  if (typeof connectedClients !== 'number') return null
  return { connectedClients, simulationRunning: simulationRunning === true }
}
