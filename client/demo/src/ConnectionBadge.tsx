// Is it live? The rule: one word and one colour for whoever glances, the sentence for whoever reads; only a change of
// state is announced, never the passing of time.

import type { Words } from './connectionWords'
import { format } from './format'
import type { Line } from './line'
import { useNow } from './now'

export interface ConnectionBadgeProps {
  words: Words
  line: Line
  /** When a value last came, in milliseconds since the epoch. */
  lastValueAt: number | null
  canReconnect: boolean
  reconnect: () => void
}

export function ConnectionBadge({ words, line, lastValueAt, canReconnect, reconnect }: ConnectionBadgeProps) {
  return (
    <section className="badge" data-tone={words.tone} aria-label="Connection">
      <span className="dot" aria-hidden="true" />
      <p className="badge-text">
        <span role="status">
          <strong>{words.title}</strong> <span className="detail">{words.detail}</span>
        </span>
        <Age line={line} lastValueAt={lastValueAt} />
      </p>
      {canReconnect && (
        <button type="button" className="small" onClick={reconnect}>
          Reconnect now
        </button>
      )}
    </section>
  )
}

/** How old the newest message is. Frames without values (answers to pings) count: they show that the line lives. */
function Age({ line, lastValueAt }: Pick<ConnectionBadgeProps, 'line' | 'lastValueAt'>) {
  const now = useNow()
  const newest = Math.max(line.heardAt() ?? 0, lastValueAt ?? 0)
  return <span className="age">{newest ? `last message ${format.ago(now - newest)}` : 'no message yet'}</span>
}
