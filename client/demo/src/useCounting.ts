// Counting from the page, and what came of it. The rule: two times are told of the newest increment, when the edge had it
// for good and when it was seen here, for the second is what this page is about.

import { useCallback, useRef, useState } from 'react'
import type { Field } from './fields'
import { format } from './format'
import { count } from './increment'
import type { Journal } from './journal'
import type { Session } from './session'

export interface Counting {
  /** What came of the last increment, in words. */
  readonly outcome: string
  /** Adds to a count of a content, in the scope that is watched. */
  readonly send: (contentId: string, field: Field, increment: number) => Promise<void>
}

const WAYS: Readonly<Record<string, string>> = { socket: 'pushed through the socket', poll: 'by a poll' }

export function useCounting(api: string, session: Session, journal: Journal): Counting {
  const [outcome, setOutcome] = useState('')
  const sent = useRef(0)

  const send = useCallback(
    async (contentId: string, field: Field, increment: number) => {
      const { organizationId, clientId, simulate } = session.watched
      const what = `${format.change(increment)} ${field} of ${contentId}`
      const began = Date.now()
      const number = ++sent.current
      // Answers overtake each other; what came of an older increment must not stand where a newer one's should.
      const tell = (words: string) => {
        if (number === sent.current) setOutcome(words)
      }
      try {
        const tenant = { organizationId: organizationId || undefined, clientId: clientId || undefined }
        const counted = await count(api, { contentId, field, increment, ...tenant }, problem =>
          journal.warn(`${what}: trying again`, problem),
        )
        const durable = `${what}: counted in ${format.lag(Date.now() - began)}`
        tell(simulate ? `${durable}; simulated numbers do not show it` : durable)
        if (simulate) return
        const seen = await session.meter.sighting(contentId, field, counted.version)
        const way = WAYS[seen.source] ?? seen.source
        tell(`${durable}, seen here after ${format.lag(Math.max(0, seen.at - began))}, ${way}`)
      } catch (error) {
        const problem = error instanceof Error ? error.message : String(error)
        tell(`${what}: not counted, ${problem}`)
        journal.warn(`${what}: not counted`, problem)
      }
    },
    [api, session, journal],
  )

  return { outcome, send }
}
