// One content. The rule: the four counts and what they gained come first; score and rating say what they amount to.

import type { ContentAnalytics } from '@analytics-edge/client'
import { memo } from 'react'
import { Ago } from './Ago'
import { FIELDS } from './fields'
import { format } from './format'
import { Metric } from './Metric'
import type { Counts } from './recorder'
import type { Counting } from './useCounting'

export interface CardProps {
  id: string
  /** `undefined` while nothing is known. */
  content: ContentAnalytics | undefined
  /** What changes are counted from. */
  baseline: Counts | undefined
  send: Counting['send']
}

export const Card = memo(function Card({ id, content, baseline, send }: CardProps) {
  return (
    <li className="panel card" data-loading={content ? undefined : true}>
      <div className="card-head">
        <h3>{id}</h3>
        {content?.trending && <span className="chip trending">Trending</span>}
      </div>
      <p className="note">
        <Ago before="changed " at={content?.updatedAt} never={content ? 'never counted yet' : 'asking the edge'} />
      </p>
      <Score content={content} />
      <dl className="metrics">
        {FIELDS.map(field => (
          <Metric key={field} id={id} field={field} value={content?.[field]} first={baseline?.[field]} send={send} />
        ))}
      </dl>
      {content && content.counters.length > 1 && <Parts content={content} />}
    </li>
  )
})

function Score({ content }: { content: ContentAnalytics | undefined }) {
  return (
    <div className="score" data-rating={content?.rating}>
      <p>
        Score <strong>{content ? format.score(content.score) : '–'}</strong>
        <span className="chip rating">{content?.rating ?? '–'}</span>
      </p>
      <svg className="score-bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
        <rect className="track" width="100" height="4" />
        <rect className="filled" width={content?.score ?? 0} height="4" />
      </svg>
    </div>
  )
}

/** What a sum is made of: an organization's contents are counted by client. */
function Parts({ content }: { content: ContentAnalytics }) {
  return (
    <details className="parts">
      <summary>Sum of {content.counters.length} counters</summary>
      <ul>
        {content.counters.map(counter => {
          const owner = [counter.organizationId ?? 'public', counter.clientId].filter(Boolean).join(' · ')
          const counts = FIELDS.map(field => `${format.count(counter[field])} ${field}`).join(', ')
          return (
            <li key={owner}>
              <strong>{owner}</strong> {counts}
            </li>
          )
        })}
      </ul>
    </details>
  )
}
