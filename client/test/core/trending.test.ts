// What is called trending has gained while somebody looked: what only becomes known, field by field or counter by counter, has not.

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Content } from '../../src/content'
import { type Counter, Counters } from '../../src/counters'
import { getPerformanceConfig } from '../../src/performance'
import { FIELDS } from '../../src/wire.gen'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const config = getPerformanceConfig('development')
/** Far above the least gain of any field. */
const MANY = 10_000

/** A content, and the ways in which it changes; each returns whether the next frame calls it trending. */
function page() {
  const counters = new Counters()
  const content = new Content()
  let version = 0
  const show = () => content.read(config, undefined)?.trending
  const counterOf = (clientId?: string): Counter =>
    counters.of({ contentId: 'a', version: 0, timestamp: 0, ...(clientId && { organizationId: 'acme', clientId }) })
  return {
    counters,
    content,
    counterOf,
    show,
    tell(counter: Counter, field: (typeof FIELDS)[number], value: number) {
      vi.advanceTimersByTime(16)
      content.add(counter)
      counters.apply(counter, field, value, ++version, Date.now())
      return show()
    },
  }
}

test('the four fields of a first load may come in four frames', () => {
  const { counterOf, tell } = page()
  const counter = counterOf()
  expect(FIELDS.map(field => tell(counter, field, MANY))).toEqual([false, false, false, false])
  expect(tell(counter, 'views', 2 * MANY)).toBe(true)
})

test('another counter that becomes known is no gain of the content', () => {
  const { counterOf, tell } = page()
  const [web, app] = [counterOf('web'), counterOf('app')]
  for (const field of FIELDS) tell(web, field, 10)
  expect(FIELDS.map(field => tell(app, field, MANY))).toEqual([false, false, false, false])
  expect(tell(app, 'likes', 2 * MANY)).toBe(true)
})

test('a counter of which everything is known in one frame is no gain either', () => {
  const { counterOf, tell, content, counters, show } = page()
  const [web, app] = [counterOf('web'), counterOf('app')]
  for (const field of FIELDS) tell(web, field, 10)
  content.add(app)
  for (const field of FIELDS) counters.apply(app, field, MANY, 900, Date.now())
  expect(show()).toBe(false)
  expect(tell(web, 'views', 20)).toBe(false)
})

test('what a wiped store forgets and counts anew is no gain', () => {
  const { counterOf, counters, tell, show } = page()
  const counter = counterOf()
  for (const field of FIELDS) tell(counter, field, 10)
  counters.rebase(1_000)
  expect(show()).toBe(false)
  for (const field of FIELDS) counters.apply(counter, field, MANY, 1_001, Date.now())
  expect(show()).toBe(false)
})
