// The controls' state. The rule: the address follows it at once, and no entry of the browser's history is made of it.

import { useCallback, useEffect, useState } from 'react'
import { readSettings, type Settings, writeSettings } from './settings'

/** The settings, and how to change some of them. */
export function useSettings(): [Settings, (change: Partial<Settings>) => void] {
  const [settings, set] = useState(() => readSettings(location.search))
  const change = useCallback((part: Partial<Settings>) => set(before => ({ ...before, ...part })), [])
  useEffect(() => {
    const search = writeSettings(settings, location.search)
    if (search !== location.search) history.replaceState(history.state, '', `${location.pathname}${search}`)
  }, [settings])
  return [settings, change]
}
