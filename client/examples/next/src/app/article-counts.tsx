'use client'
// The counts of one content. The rule: they never pretend: what they come from is always said.

import { useState } from 'react'
import { useRealTimeAnalytics } from '@/lib/hooks/useRealTimeAnalytics'

const SAID = {
  idle: 'not watching',
  connecting: 'connecting …',
  live: 'live',
  polling: 'asking every few seconds',
  reconnecting: 'reconnecting …',
  failed: 'not available',
} as const

// What is watched and what is counted must be the same counter.
const scope = {
  organizationId: process.env.NEXT_PUBLIC_ORGANIZATION_ID || undefined,
  clientId: process.env.NEXT_PUBLIC_CLIENT_ID || undefined,
}

export function ArticleCounts({ contentId }: { contentId: string }) {
  const { data, status, source, isStale, error } = useRealTimeAnalytics({
    ...scope,
    contentIds: [contentId],
    interval: 2_000,
  })
  const [refused, setRefused] = useState<string | null>(null)
  const counts = data[contentId]

  async function like() {
    const response = await fetch('/api/analytics/trigger-update', {
      method: 'POST',
      // With a key the route may repeat the call without counting twice.
      headers: { 'content-type': 'application/json', 'idempotency-key': crypto.randomUUID() },
      body: JSON.stringify({ ...scope, contentId, field: 'likes', increment: 1 }),
    })
    setRefused(response.ok ? null : `${response.status}: ${await response.text()}`)
  }

  return (
    <section aria-label={`Counts of ${contentId}`}>
      <p className="status" data-status={status}>
        <span data-testid="status">{SAID[status]}</span>
        {source === 'simulated' && ' (invented numbers)'}
        {isStale && ' (the last that were known)'}
      </p>
      <dl>
        <dt>Views</dt>
        <dd data-testid="views">{counts?.views ?? '–'}</dd>
        <dt>Likes</dt>
        <dd data-testid="likes">{counts?.likes ?? '–'}</dd>
        <dt>Score</dt>
        <dd>{counts ? `${counts.score.toFixed(0)}, ${counts.rating}` : '–'}</dd>
      </dl>
      <button type="button" onClick={() => void like()}>
        Like
      </button>
      {status === 'failed' && <p role="alert">{error?.message}</p>}
      {refused && <p role="alert">{refused}</p>}
    </section>
  )
}
