// How fast. The rule: figures of the last minute at most, so that what is shown is what is going on.

import { useSyncExternalStore } from 'react'
import { format } from './format'
import { SECONDS } from './meter'
import { WINDOW } from './movers'
import { useNow } from './now'
import type { Session } from './session'
import type { EdgeStatus } from './useEdgeStatus'

export interface FiguresProps {
  session: Session
  status: EdgeStatus | null
}

export function Figures({ session: { meter, recorder }, status }: FiguresProps) {
  const now = useNow()
  useSyncExternalStore(recorder.subscribe, recorder.getSnapshot)
  const lag = meter.lag()
  const gains = recorder.ids.map(id => recorder.gain(id, WINDOW))
  const views = gains.reduce((sum, gain) => sum + gain.views, 0)
  const rest = gains.reduce((sum, gain) => sum + gain.likes + gain.shares + gain.comments, 0)

  return (
    <section aria-label="How fast">
      <dl className="figures">
        <div className="figure">
          <dt>Messages per second</dt>
          <dd>
            <span className="value">{format.rate(meter.rate(now))}</span>
            <Spark counts={meter.perSecond(now)} />
          </dd>
          <dd className="note">{format.count(meter.total)} updates since watching began</dd>
        </div>
        <div className="figure">
          <dt>Lag, commit to arrival</dt>
          <dd>
            <span className="value">{lag ? format.lag(lag.median) : '–'}</span>
          </dd>
          <dd className="note">
            {lag ? `half within this, 95 % within ${format.lag(lag.p95)}` : 'shown with the first pushed change'}
          </dd>
        </div>
        <div className="figure">
          <dt>Views in the last minute</dt>
          <dd>
            <span className="value">{format.change(views)}</span>
          </dd>
          <dd className="note">and {format.change(rest)} likes, shares and comments</dd>
        </div>
        <div className="figure">
          <dt>Open sockets</dt>
          <dd>
            <span className="value">{status ? format.count(status.connectedClients) : '–'}</span>
          </dd>
          <dd className="note">
            {status?.simulationRunning ? 'the edge’s simulation is on' : 'at this edge and its peers'}
          </dd>
        </div>
      </dl>
    </section>
  )
}

/** Updates of each of the last seconds, as bars; the figure beside it says the same to whoever does not see it. */
function Spark({ counts }: { counts: readonly number[] }) {
  const most = Math.max(1, ...counts)
  const bars = counts.map((count, second) => `M${second + 0.5} 20v-${Math.max(0.75, (20 * count) / most)}`)
  return (
    <svg className="spark" viewBox={`0 0 ${SECONDS} 20`} preserveAspectRatio="none" aria-hidden="true">
      <path d={bars.join('')} />
    </svg>
  )
}
