// The two buttons that show what this is about. The rule: each says what it did where it was pressed.

import { useId, useState, useSyncExternalStore } from 'react'
import type { Journal } from './journal'
import type { Line } from './line'
import { useNow } from './now'
import type { Counting } from './useCounting'

/** How long the line stays cut, in milliseconds: long enough to see a poll or two. */
const CUT = 8_000
const MANY = 100

export interface ActionsProps {
  ids: readonly string[]
  line: Line
  counting: Counting
  journal: Journal
  /** There is a live socket to drop. */
  canDrop: boolean
}

export function Actions({ ids, line, counting, journal, canDrop }: ActionsProps) {
  const target = useId()
  const [chosen, choose] = useState('')
  const contentId = ids.includes(chosen) ? chosen : (ids[0] ?? '')

  const drop = () => {
    journal.warn(`The socket was dropped by hand; new ones fail for ${CUT / 1000} s`)
    line.cut(CUT)
  }

  return (
    <section className="actions" aria-label="Try it">
      <div className="action-row">
        <button
          type="button"
          className="primary"
          disabled={!contentId}
          onClick={() => counting.send(contentId, 'views', MANY)}
        >
          Send {MANY} views
        </button>
        {ids.length > 1 && (
          <span className="inline-field">
            <label htmlFor={target}>to</label>
            <select id={target} value={contentId} onChange={event => choose(event.target.value)}>
              {ids.map(id => (
                <option key={id}>{id}</option>
              ))}
            </select>
          </span>
        )}
        <DropButton line={line} canDrop={canDrop} drop={drop} />
      </div>
      <output className="outcome">{counting.outcome}</output>
    </section>
  )
}

function DropButton({ line, canDrop, drop }: { line: Line; canDrop: boolean; drop: () => void }) {
  const { cutUntil } = useSyncExternalStore(line.subscribe, line.getSnapshot)
  const now = useNow()
  const left = cutUntil === null ? 0 : Math.max(1, Math.ceil((cutUntil - now) / 1000))
  // Not `disabled`, which would take the focus away from whoever has just pressed it.
  const idle = cutUntil !== null || !canDrop
  return (
    <button type="button" aria-disabled={idle} onClick={() => idle || drop()}>
      Drop the socket
      {/* Only to be seen: a name that changes is read out again and again to whoever is on the button. */}
      {cutUntil !== null && <span aria-hidden="true">, back in {left} s</span>}
    </button>
  )
}
