// The content types that scores can follow. The rule: those that the edge's configuration knows; until it is here, the
// built-in ones.

import { getPerformanceConfig, loadPerformanceConfig } from '@analytics-edge/client/performance'
import { useEffect, useState } from 'react'

/** Their names, in alphabetical order. */
export function useContentTypes(api: string): readonly string[] {
  const [types, set] = useState(() => Object.keys(getPerformanceConfig('development').weights).sort())

  useEffect(() => {
    const gone = new AbortController()
    loadPerformanceConfig(`${api}/performance-config`, { signal: gone.signal })
      .then(config => set(Object.keys(config.weights).sort()))
      .catch(() => undefined)
    return () => gone.abort()
  }, [api])

  return types
}
