// When polls are made, and of whom: soon for somebody who has come, and no more often than needed of an address that is dead.

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { ClientOptions } from '../../src/types'
import { testClient, testEdge } from '../support/client'
import { until } from '../support/until'

beforeEach(() => void vi.spyOn(Math, 'random').mockReturnValue(0))
afterEach(() => void vi.restoreAllMocks())

const DAY = 86_400_000

/** A client that polls one edge once a day, because another one refuses its socket for long. */
async function polling(options: Partial<ClientOptions> = {}) {
  const refusing = await testEdge()
  refusing.refuse({ status: 503, code: 'unavailable', retryAfter: 600 })
  const edge = await testEdge()
  edge.count('a', 'views', 3)
  edge.count('b', 'views', 4)
  const pollUrl = `${edge.httpUrl}/api/analytics/content`
  const client = testClient({ url: refusing.wsUrl, pollUrl, interval: DAY, ...options })
  client.watch(['a'])
  return { edge, client, view: client.view() }
}

test('a content that appears between two polls is asked for soon', async () => {
  const { edge, client, view } = await polling()
  await until(() => client.getSnapshot().status === 'polling', 'the first poll')
  client.watch(['b'])
  await until(() => view.read('b')?.views === 4, 'the poll for it', 3_000)
  expect(edge.requests.map(({ url }) => url)).toEqual([
    '/api/analytics/content?id=a',
    '/api/analytics/content?id=a&id=b',
  ])
})

/** A `fetch` whose answers wait until they are told to land; then all answers come at once. */
function holding() {
  let isHeld = true
  const held: Array<() => void> = []
  const hold: typeof fetch = async (input, init) => {
    const response = await fetch(input, init)
    if (isHeld && response.ok) await new Promise<void>(resolve => held.push(resolve))
    return response
  }
  const land = () => {
    isHeld = false
    for (const go of held.splice(0)) go()
  }
  return { hold, held, land }
}

test('a content that appears during a poll is asked for beside it', async () => {
  const { hold, land } = holding()
  const { edge, client, view } = await polling({ fetch: hold })
  await until(() => edge.requests.length === 1, 'the first poll')
  client.watch(['b'])
  await until(() => edge.requests.length === 2, 'the poll for it', 3_000)
  land()
  await until(() => view.read('b')?.views === 4, 'the number', 3_000)
})

test('a poll that lands meanwhile does not put off the one for a content that has appeared', async () => {
  const { hold, held, land } = holding()
  const { client, view } = await polling({ fetch: hold })
  await until(() => held.length === 1, 'the answer on its way')
  vi.mocked(Math.random).mockReturnValue(1)
  client.watch(['b'])
  land()
  await until(() => view.read('a')?.views === 3, 'the first poll')
  await until(() => view.read('b')?.views === 4, 'the number', 3_000)
})

test('a watcher with a shorter interval does not wait for the end of the longer one', async () => {
  const { edge, client, view } = await polling()
  await until(() => client.getSnapshot().status === 'polling', 'the first poll')
  edge.count('a', 'views')
  client.watch(['a'], {}, { interval: 100 })
  await until(() => view.read('a')?.views === 4, 'the poll for it', 3_000)
})

test('a dead first address is asked once, and the one that answered first from then on', async () => {
  const edge = await testEdge()
  const ids = Array.from({ length: 250 }, (_, index) => `article-${index}`)
  for (const id of ids) edge.count(id, 'views', 7)
  const asked: string[] = []
  const half: typeof fetch = (input, init) => {
    const { host, pathname } = new URL(String(input))
    if (pathname.endsWith('/content')) asked.push(host)
    return host === 'dead.invalid' ? Promise.reject(new TypeError('fetch failed')) : fetch(input, init)
  }
  const pollUrl = ['https://dead.invalid/content', `${edge.httpUrl}/api/analytics/content`]
  const client = testClient({ url: edge.wsUrl, pollUrl, fetch: half })
  client.watch(ids)
  const alive = new URL(edge.httpUrl).host
  await client.view().refetch()
  expect(asked).toEqual(['dead.invalid', alive, alive, alive])
  await client.view().refetch()
  expect(asked.slice(4)).toEqual([alive, alive, alive])
  expect(ids.every(id => client.view().read(id)?.views === 7)).toBe(true)
})
