// What to say so that an edge sends what is watched, and nothing else. The rule: pure; the messages lead from what was asked
// for to what is wanted, and none is larger than an edge takes.

import type { ClientMessage } from './wire.gen'

/** A message's ids are at most so many UTF-16 units: three bytes each at most, and the edge takes 64 KiB. */
const UNITS_PER_MESSAGE = 16_000

/** `asked` is null on a fresh connection: its subscription is replaced as a whole. */
export function subscriptionMessages(
  asked: ReadonlySet<string> | null,
  wanted: readonly string[],
  scope: { organizationId?: string; clientId?: string },
): ClientMessage[] {
  const kept = new Set(wanted)
  const gone = [...(asked ?? [])].filter(id => !kept.has(id))
  const added = wanted.filter(id => !asked?.has(id))
  return [
    ...parts(gone).map((contentIds): ClientMessage => ({ type: 'unsubscribe', contentIds })),
    ...parts(added).map((contentIds, index): ClientMessage => {
      const add = asked !== null || index > 0
      return { type: 'subscribe', contentIds, ...scope, ...(add && { mode: 'add' }) }
    }),
  ]
}

function parts(ids: readonly string[]): string[][] {
  const all: string[][] = []
  let units = UNITS_PER_MESSAGE
  for (const id of ids) {
    if (units + id.length > UNITS_PER_MESSAGE) {
      all.push([])
      units = 0
    }
    all[all.length - 1]?.push(id)
    units += id.length + 3
  }
  return all
}
