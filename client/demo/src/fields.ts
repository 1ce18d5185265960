// The four counts. The rule: always in this order, which is that of the protocol.

import type { Field } from '@analytics-edge/client'

export type { Field }

export const FIELDS = ['views', 'likes', 'shares', 'comments'] as const satisfies readonly Field[]

export const isField = (value: unknown): value is Field => FIELDS.some(field => field === value)

/** A field at the head of a column or a cell. */
export const TITLES: Readonly<Record<Field, string>> = {
  views: 'Views',
  likes: 'Likes',
  shares: 'Shares',
  comments: 'Comments',
}
