// What a page learns of itself. The rule: only events; what follows from them is decided where the socket is.

export interface Wake {
  /** The page is seen again, or the network is back: what was held back may go on. */
  woke(): void
  /** The network is gone, or says so. */
  doubt(): void
  /** The page is put aside and may come back as it is; an open socket would forbid that. */
  park(): void
}

/** Listens until the returned function is called. Without a page (a server) it does nothing. */
export function listenToPage(wake: Wake): () => void {
  if (typeof window === 'undefined' || typeof document === 'undefined') return () => {}
  const events = new AbortController()
  const { signal } = events
  window.addEventListener('online', () => wake.woke(), { signal })
  window.addEventListener('offline', () => wake.doubt(), { signal })
  window.addEventListener('pageshow', event => event.persisted && wake.woke(), { signal })
  window.addEventListener('pagehide', event => event.persisted && wake.park(), { signal })
  document.addEventListener('visibilitychange', () => isHidden() || wake.woke(), { signal })
  return () => events.abort()
}

export const isHidden = (): boolean => typeof document !== 'undefined' && document.visibilityState === 'hidden'
