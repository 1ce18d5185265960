// Which line is which. The rule: it also says what the lines are at, under the pointer or now.

import { format } from './format'
import { DASHES } from './plotOptions'
import type { Points } from './points'

export interface LegendProps {
  points: Points
  /** The row under the pointer. */
  row: number | null
  /** Contents that have no line. */
  left: number
}

export function Legend({ points, row, left }: LegendProps) {
  const shown = row ?? points.times.length - 1
  const time = row === null ? undefined : points.times[row]
  return (
    <ul className="legend">
      {points.series.map(({ id, gained }, index) => (
        <li key={id}>
          <svg className="swatch" data-series={index + 1} viewBox="0 0 22 4" aria-hidden="true">
            <path d="M1 2h20" strokeDasharray={DASHES[index]?.join(' ')} />
          </svg>
          <span className="id">{id}</span>
          <strong>{format.change(gained[shown] ?? 0)}</strong>
        </li>
      ))}
      {points.live.includes(false) && (
        <li>
          <span className="swatch-shade" aria-hidden="true" />
          not live
        </li>
      )}
      {left > 0 && <li>and {format.count(left)} more without a line</li>}
      {time !== undefined && <li className="at">at {format.clock(time * 1000)}</li>}
    </ul>
  )
}
