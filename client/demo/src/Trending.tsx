// What moved. The rule: an order and a length for whoever glances, the figures for whoever reads.

import { useSyncExternalStore } from 'react'
import { FIELDS } from './fields'
import { format } from './format'
import { type Mover, movers } from './movers'
import type { Recorder } from './recorder'
import type { Data } from './useSampling'

const MOST = 6

export function Trending({ recorder, data }: { recorder: Recorder; data: Data }) {
  useSyncExternalStore(recorder.subscribe, recorder.getSnapshot)
  const list = movers(recorder, data, MOST)
  const most = Math.max(1, ...list.map(mover => mover.moved))
  return (
    <section className="panel" aria-labelledby="trending-title">
      <div className="section-head">
        <h2 id="trending-title">Trending</h2>
        <p className="note">the last minute</p>
      </div>
      {list.length === 0 ? (
        <p className="nothing">Nothing has moved in the last minute.</p>
      ) : (
        <ol className="movers">
          {list.map(mover => (
            <li key={mover.id}>
              <div className="mover-head">
                <span className="id">{mover.id}</span>
                {mover.trending && <span className="chip trending">Trending</span>}
              </div>
              <svg className="mover-bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
                <rect width={(100 * mover.moved) / most} height="4" />
              </svg>
              <p className="note">{inWords(mover)}</p>
            </li>
          ))}
        </ol>
      )}
    </section>
  )
}

function inWords({ gain }: Mover): string {
  const parts = FIELDS.filter(field => gain[field] !== 0).map(field => `${format.change(gain[field])} ${field}`)
  return parts.join(' · ') || 'no change in the last minute'
}
