// What moved, over time. The rule: everything the canvas shows can also be read: its sum in a sentence, its newest points
// in a table.

import { useId, useState, useSyncExternalStore } from 'react'
import { FIELDS, type Field, TITLES } from './fields'
import { format } from './format'
import { Legend } from './Legend'
import { Plot } from './Plot'
import { PointsTable } from './PointsTable'
import { type Points, pointsOf } from './points'
import type { Recorder } from './recorder'
import type { Settings } from './settings'
import { useMedia } from './useMedia'

export interface ChartProps {
  recorder: Recorder
  metric: Field
  change: (change: Partial<Settings>) => void
}

export function Chart({ recorder, metric, change }: ChartProps) {
  useSyncExternalStore(recorder.subscribe, recorder.getSnapshot)
  const dark = useMedia('(prefers-color-scheme: dark)')
  const [row, point] = useState<number | null>(null)
  if (recorder.ids.length === 0) return null

  const points = pointsOf(recorder, metric)
  return (
    <section className="panel chart" aria-labelledby="chart-title">
      <div className="section-head">
        <h2 id="chart-title">{TITLES[metric]} gained</h2>
        <MetricChoice metric={metric} change={change} />
      </div>
      <Plot key={`${dark}`} points={points} point={point} label={inWords(points, metric, recorder.since)} />
      <Legend points={points} row={row} left={recorder.ids.length - points.series.length} />
      <PointsTable points={points} metric={metric} />
    </section>
  )
}

function MetricChoice({ metric, change }: Pick<ChartProps, 'metric' | 'change'>) {
  const name = useId()
  return (
    <fieldset className="segments">
      <legend>What the chart shows</legend>
      {FIELDS.map(field => (
        <label key={field}>
          <input type="radio" name={name} checked={field === metric} onChange={() => change({ metric: field })} />
          <span>{TITLES[field]}</span>
        </label>
      ))}
    </fieldset>
  )
}

function inWords({ series }: Points, metric: Field, since: number): string {
  const gains = series.map(({ id, gained }) => `${id} ${format.change(gained.at(-1) ?? 0)}`)
  return `Line chart of the ${metric} gained since ${format.clock(since)}: ${gains.join(', ')}`
}
