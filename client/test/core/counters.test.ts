// The reducer: whatever comes, in whatever order and how often, the newest version stands.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Counters } from '../../src/counters'
import { FIELDS, type Field } from '../../src/wire.gen'

const of = { contentId: 'a', version: 0, timestamp: 0 }

test('an older version changes nothing, the same one is no news, a newer one is', () => {
  const counters = new Counters()
  const counter = counters.of(of)
  expect(counters.apply(counter, 'views', 10, 5, 50)).toBe(true)
  expect(counters.apply(counter, 'views', 99, 4, 40)).toBe(false)
  expect(counters.apply(counter, 'views', 10, 5, 50)).toBe(false)
  expect(counter).toMatchObject({ values: { views: 10 }, updatedAt: 50 })
  expect(counters.apply(counter, 'views', 9, 6, 60)).toBe(true)
  expect(counter).toMatchObject({ values: { views: 9 }, updatedAt: 60 })
})

test('a field has a version of its own: a poll that lands late takes back only what is older', () => {
  const counters = new Counters()
  const counter = counters.of(of)
  counters.apply(counter, 'likes', 1, 7, 70)
  for (const field of FIELDS) counters.apply(counter, field, field === 'views' ? 10 : 0, 6, 60)
  expect(counter.values).toEqual({ views: 10, likes: 1, shares: 0, comments: 0 })
  expect(counter.updatedAt).toBe(70)
})

test('a higher base forgets what is below it, and what comes from below it', () => {
  const counters = new Counters()
  const counter = counters.of(of)
  counters.apply(counter, 'views', 1000, 900, 1)
  expect(counters.rebase(2000)).toBe(true)
  expect(counter.values.views).toBe(0)
  expect(counters.apply(counter, 'views', 1001, 901, 2)).toBe(false)
  expect(counters.apply(counter, 'views', 7, 2001, 3)).toBe(true)
  expect(counters.rebase(2000)).toBe(false)
  expect(counters.rebase(1000)).toBe(false)
  expect(counter.values.views).toBe(7)
})

test('counters of other tenants never meet, whatever their ids are', () => {
  const counters = new Counters()
  const all = [
    of,
    { ...of, organizationId: 'a' },
    { ...of, organizationId: 'a', clientId: 'a' },
    { ...of, organizationId: 'aa' },
    { ...of, organizationId: 'a', clientId: 'aa' },
  ].map(counter => counters.of(counter))
  expect(new Set(all).size).toBe(all.length)
  expect(counters.of({ ...of, organizationId: 'a', clientId: 'aa' })).toBe(all[4])
})

test('any order, loss and repetition of two histories ends at the newest values', () => {
  const step = fc.record({ field: fc.constantFrom<Field>(...FIELDS), increment: fc.integer({ min: 1, max: 9 }) })
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 30 }), fc.infiniteStream(fc.nat()), (steps, random) => {
      const pick = (below: number) => (random.next().value as number) % below
      const values: Record<Field, number> = { views: 0, likes: 0, shares: 0, comments: 0 }
      const pushes = steps.map(({ field, increment }, index) => {
        values[field] += increment
        return { field, value: values[field], version: 100 + index, all: { ...values } }
      })
      const counters = new Counters()
      const counter = counters.of(of)
      // What sockets and polls of two edges may bring: any of it, any number of times, in any order.
      for (let turn = 0; turn < 60; turn++) {
        const push = pushes[pick(pushes.length)]
        if (!push) continue
        if (pick(2)) counters.apply(counter, push.field, push.value, push.version, 0)
        else for (const field of FIELDS) counters.apply(counter, field, push.all[field], push.version, 0)
      }
      // The last word of either, before or after the rest.
      const last = pushes[pushes.length - 1]
      for (const field of FIELDS) counters.apply(counter, field, last?.all[field] ?? 0, last?.version ?? 0, 0)
      const late = pushes[pick(pushes.length)]
      if (late) counters.apply(counter, late.field, late.value, late.version, 0)
      expect(counter.values).toEqual(values)
    }),
  )
})
