// What feeds a session. The rule: a row every second, whether anything changed or not, for the chart's axis is time.

import type { ContentAnalytics } from '@analytics-edge/client'
import { useEffect, useRef } from 'react'
import type { Session } from './session'

const EVERY = 1_000

export type Data = Readonly<Record<string, ContentAnalytics | undefined>>

/** Records what is shown. `live`: whether the values are of this moment. */
export function useSampling(session: Session, data: Data, live: boolean): void {
  const latest = useRef({ data, live })

  useEffect(() => {
    latest.current = { data, live }
    session.recorder.see(data, Date.now())
    session.meter.live(live, Date.now())
  }, [session, data, live])

  useEffect(() => {
    const take = () => session.recorder.sample(latest.current.data, latest.current.live, Date.now())
    const timer = setInterval(take, EVERY)
    return () => clearInterval(timer)
  }, [session])
}
