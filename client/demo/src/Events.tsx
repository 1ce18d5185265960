// What the client says of its connection. The rule: for whoever wants to know why; nobody is interrupted by it.

import { useSyncExternalStore } from 'react'
import { format } from './format'
import type { Journal } from './journal'

export function Events({ journal }: { journal: Journal }) {
  const entries = useSyncExternalStore(journal.subscribe, journal.getSnapshot)
  return (
    <section className="panel" aria-labelledby="events-title">
      <h2 id="events-title">Events</h2>
      {entries.length === 0 ? (
        <p className="nothing">Nothing has happened yet.</p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
        <ol className="events" tabIndex={0} aria-labelledby="events-title">
          {entries.map(entry => (
            <li key={entry.key} data-level={entry.level}>
              <time dateTime={new Date(entry.at).toISOString()}>{format.clock(entry.at)}</time> {entry.text}
            </li>
          ))}
        </ol>
      )}
    </section>
  )
}
