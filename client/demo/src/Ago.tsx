// How long ago something was. The rule: it renews itself, so that nothing around it has to.

import { format } from './format'
import { useNow } from './now'

export interface AgoProps {
  /** What stands before it. */
  before?: string
  /** In milliseconds since the epoch. */
  at: number | null | undefined
  /** What stands there without a time. */
  never: string
}

export function Ago({ before = '', at, never }: AgoProps) {
  const now = useNow()
  if (at === null || at === undefined) return never
  return (
    <time dateTime={new Date(at).toISOString()} title={format.clock(at)}>
      {before}
      {format.ago(now - at)}
    </time>
  )
}
