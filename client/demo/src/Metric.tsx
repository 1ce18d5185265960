// One count. The rule: a new value shows itself once, by a short wash of colour, and by the change that stays beside it.

import { useRef } from 'react'
import { type Field, TITLES } from './fields'
import { format } from './format'
import type { Counting } from './useCounting'

export interface MetricProps {
  id: string
  field: Field
  value: number | undefined
  /** What the change is counted from. */
  first: number | undefined
  send: Counting['send']
}

export function Metric({ id, field, value, first, send }: MetricProps) {
  // The value that the card began with is nothing new.
  const initial = useRef(value)
  initial.current ??= value
  const change = value === undefined || first === undefined ? 0 : value - first
  return (
    <div className="metric">
      <dt>{TITLES[field]}</dt>
      <dd>
        <span className="reading">
          <span key={value} className={value === initial.current ? 'value' : 'value flash'} title={exactly(value)}>
            {value === undefined ? '–' : format.count(value)}
          </span>{' '}
          <span className="change" data-sign={Math.sign(change)}>
            {change === 0 ? '' : format.change(change)}
          </span>
        </span>
        <button
          type="button"
          className="plus"
          aria-label={`Add 1 to ${field} of ${id}`}
          onClick={() => send(id, field, 1)}
        >
          +1
        </button>
      </dd>
    </div>
  )
}

const exactly = (value: number | undefined) => (value === undefined ? undefined : format.exact(value))
