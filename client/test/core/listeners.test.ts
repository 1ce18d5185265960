// A listener that throws costs nobody else anything, and its error is there for all to see.

import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { Listeners } from '../../src/listeners'
import { testClient, testEdge } from '../support/client'
import { until } from '../support/until'

beforeEach(() => void vi.spyOn(Math, 'random').mockReturnValue(0))
afterEach(() => void vi.restoreAllMocks())

const boom = new Error('a listener of the application')
const throwing = () => {
  throw boom
}

/** What nobody caught from now on; until the test ends it does not fail the run. */
function uncaught(): unknown[] {
  const errors: unknown[] = []
  const hear = (error: unknown) => void errors.push(error)
  const others = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', hear)
  onTestFinished(() => {
    process.off('uncaughtException', hear)
    for (const other of others) process.on('uncaughtException', other)
  })
  return errors
}

test('the others are told, in the same turn, and each error is seen', async () => {
  const errors = uncaught()
  const listeners = new Listeners<number>()
  const told: number[] = []
  listeners.add(throwing)
  listeners.add(value => told.push(value))
  listeners.add(throwing)
  listeners.tell(7)
  expect(told).toEqual([7])
  await until(() => errors.length === 2, 'the errors')
  expect(errors).toEqual([boom, boom])
})

test('one that throws at every change stops neither polls nor pushes', async () => {
  const errors = uncaught()
  const edge = await testEdge()
  const other = await testEdge()
  other.count('a', 'views', 5)
  edge.refuse({ status: 503, code: 'unavailable', retryAfter: 600 })
  const client = testClient({ url: edge.wsUrl, pollUrl: `${other.httpUrl}/api/analytics/content`, interval: 100 })
  const view = client.view()
  const values: number[] = []
  view.onUpdate(throwing)
  view.onUpdate(({ field, value }) => field === 'views' && values.push(value))
  view.watch(['a'])
  await until(() => values.includes(5), 'the first poll')
  await until(() => client.getSnapshot().status === 'polling', 'polling')
  other.count('a', 'views')
  await until(() => values.includes(6), 'the next poll')
  // The polls have told of versions that this edge has to pass.
  for (let times = 0; times < 10; times++) edge.count('a', 'views')
  edge.refuse(null)
  client.reconnect()
  await until(() => client.getSnapshot().isLive && values.includes(10), 'the push')
  edge.count('a', 'views')
  await until(() => values.includes(11), 'the next push')
  expect(edge.connections).toHaveLength(1)
  expect(errors.length).toBeGreaterThanOrEqual(4)
  expect(new Set(errors)).toEqual(new Set([boom]))
})

test('a subscriber that throws keeps nobody from hearing of a flush, neither of the view nor of the client', async () => {
  const errors = uncaught()
  const edge = await testEdge()
  const client = testClient({ url: edge.wsUrl })
  const view = client.view()
  const shown = { view: 0, client: 0 }
  view.subscribe(throwing)
  client.subscribe(throwing)
  view.subscribe(() => {
    shown.view = view.read('a')?.views ?? 0
  })
  client.subscribe(() => {
    shown.client = view.read('a')?.views ?? 0
  })
  view.watch(['a'])
  await until(() => view.getSnapshot().isLive, 'live')
  for (const views of [1, 2]) {
    edge.count('a', 'views')
    await until(() => shown.view === views && shown.client === views, `${views} views in both`)
  }
  await until(() => errors.length >= 4, 'the errors')
  expect(new Set(errors)).toEqual(new Set([boom]))
})
