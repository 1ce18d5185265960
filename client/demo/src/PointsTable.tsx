// The chart for whoever does not see it. The rule: the newest points first, and few, for a table is read line by line.

import type { Field } from './fields'
import { format } from './format'
import type { Points } from './points'

const ROWS = 10

export function PointsTable({ points, metric }: { points: Points; metric: Field }) {
  const last = points.times.length - 1
  const rows = Array.from({ length: Math.min(ROWS, points.times.length) }, (_, back) => last - back)
  return (
    <details className="points">
      <summary>The latest points as a table</summary>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <section className="scroll" tabIndex={0} aria-label="The latest points">
        <table>
          <caption>
            {metric} gained, the newest {rows.length} points
          </caption>
          <thead>
            <tr>
              <th scope="col">Time</th>
              <th scope="col">Live</th>
              {points.series.map(({ id }) => (
                <th key={id} scope="col">
                  {id}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map(row => (
              <tr key={points.times[row]}>
                <th scope="row">{format.clock((points.times[row] ?? 0) * 1000)}</th>
                <td>{points.live[row] ? 'yes' : 'no'}</td>
                {points.series.map(({ id, gained }) => (
                  <td key={id}>{inWords(gained[row])}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </details>
  )
}

const inWords = (gained: number | null | undefined) => (typeof gained === 'number' ? format.change(gained) : '–')
