// The connection as a badge shows it. The rule: it watches nothing and so never opens a socket.

import { useContext, useMemo, useSyncExternalStore } from 'react'
import { defaultClient } from '../defaults'
import type { Status } from '../types'
import { ClientContext } from './context'
import { NOTHING } from './selection'

export interface AnalyticsConnection {
  /** The worst among all scopes that are watched. */
  status: Status
  /** Connects now, also after `failed`. The same function in every render. */
  reconnect(): void
}

/** How the client of the nearest provider, or the one from the environment, is connected. */
export function useAnalyticsConnection(): AnalyticsConnection {
  const provided = useContext(ClientContext)
  const source = useMemo(() => {
    const client = () => provided ?? defaultClient()
    return {
      subscribe: (listener: () => void) => client().subscribe(listener),
      getStatus: () => client().getSnapshot().status,
      reconnect: () => client().reconnect(),
    }
  }, [provided])
  const status = useSyncExternalStore(source.subscribe, source.getStatus, () => NOTHING.status)
  return useMemo(() => ({ status, reconnect: source.reconnect }), [status, source])
}
