// What is counted. The rule: a card is drawn again only when its own content changed.

import { useSyncExternalStore } from 'react'
import { Card } from './Card'
import { format } from './format'
import type { Session } from './session'
import { DEFAULTS, type Settings } from './settings'
import type { Counting } from './useCounting'
import type { Data } from './useSampling'

export interface CardsProps {
  session: Session
  data: Data
  /** Nobody confirms the values at present. */
  stale: boolean
  send: Counting['send']
  change: (change: Partial<Settings>) => void
}

export function Cards({ session, data, stale, send, change }: CardsProps) {
  const { recorder, watched, since } = session
  // A baseline settles a while after the values that it is made of.
  useSyncExternalStore(recorder.subscribe, recorder.getSnapshot)
  const now = Date.now()

  return (
    <section aria-labelledby="counts-title">
      <div className="section-head">
        <h2 id="counts-title">Counts</h2>
        {watched.ids.length > 0 && <p className="note">changes since {format.clock(since)}</p>}
      </div>
      {watched.ids.length === 0 ? (
        <div className="panel empty">
          <p>
            <strong>No content is watched.</strong>
          </p>
          <p>Name some under “What is watched”, or begin with two.</p>
          <button type="button" className="primary" onClick={() => change({ ids: DEFAULTS.ids })}>
            Watch {DEFAULTS.ids.join(' and ')}
          </button>
        </div>
      ) : (
        <ul className="cards" data-stale={stale || undefined}>
          {watched.ids.map(id => (
            <Card key={id} id={id} content={data[id]} baseline={recorder.baseline(id, now)} send={send} />
          ))}
        </ul>
      )}
    </section>
  )
}
