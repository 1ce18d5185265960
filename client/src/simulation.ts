// Invented changes, for pages that are built without an edge. The rule: plausible, and never a version: the first real value
// ends them.

import type { Field } from './wire.gen'

export type Increments = Record<Field, number>

/** What one turn adds to one content: often nothing, mostly views. */
export function inventIncrements(): Increments | null {
  if (Math.random() < 0.4) return null
  const upTo = (most: number) => Math.floor(Math.random() * (most + 1))
  return {
    views: 1 + upTo(9),
    likes: upTo(2),
    shares: Math.random() < 0.3 ? 1 : 0,
    comments: Math.random() < 0.3 ? 1 : 0,
  }
}
