// Promise: a thousand clients that lost one edge together do not come back together, and all end with the right value.

import { readFile } from 'node:fs/promises'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type Edge, startEdge } from '../support/edge'
import { gather, type Member, shows } from './crowd'
import { histogram, judge } from './histogram'

const CLIENTS = 1_000
const contentId = 'article'

let edge: Edge | undefined
let crowd: Member[] = []

beforeAll(async () => {
  const limits = await readFile('/proc/self/limits', 'utf8')
  const descriptors = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY)
  // The edge keeps 512 for itself; the other ends of its sockets are here.
  if (descriptors < CLIENTS + 1_000) {
    throw new Error(
      `${descriptors} open files are allowed, too few for ${CLIENTS} clients: raise the limit with ulimit -n 4096`,
    )
  }
})

afterEach(async () => {
  for (const { client } of crowd) client.close()
  crowd = []
  await edge?.stop()
})

/**
 * A wait is drawn evenly from its range. So a second of a range of `w` seconds gets 1000 / w clients, give or take the
 * square root of that; half as much again is more than five times that deviation, and a fixed wait, or one that is only
 * jittered a little, has nearly everybody in one second.
 */
const shareOf = (range: number) => (1.5 * CLIENTS) / range

describe('a thousand clients', () => {
  test('after a crash they come back spread over four seconds', { timeout: 120_000 }, async () => {
    const { edge, crowd } = await assemble({})
    const began = Date.now()
    await edge.kill()
    await edge.restart()
    const views = await count(edge, 7)
    await allShow(crowd, views)
    const planned = report('killed', crowd, began)
    const { fullest, seconds } = judge(planned)
    expect(crowd.filter(({ code }) => code !== 1006)).toEqual([])
    expect(fullest).toBeLessThan(shareOf(4))
    expect(seconds).toBeGreaterThan(3)
  })

  test('after a drain they come back later, spread over more than ten seconds', { timeout: 120_000 }, async () => {
    const { edge, crowd } = await assemble({ ANALYTICS_DRAIN_SECONDS: '2' })
    const began = Date.now()
    await edge.stop({ signal: 'SIGTERM', keepData: true })
    await edge.restart()
    const views = await count(edge, 9)
    await allShow(crowd, views)
    const planned = report('drained', crowd, began)
    const { fullest, seconds } = judge(planned)
    expect(crowd.filter(({ code }) => code !== 1012)).toEqual([])
    expect(fullest).toBeLessThan(shareOf(10))
    expect(seconds).toBeGreaterThan(9)
  })
})

/** A crowd that is live with the value that an edge has. */
async function assemble(env: Record<string, string>): Promise<{ edge: Edge; crowd: Member[] }> {
  edge = await startEdge({ env })
  const views = await count(edge, 3)
  crowd = gather(CLIENTS, edge.wsUrl, contentId)
  await allShow(crowd, views)
  return { edge, crowd }
}

/** Counts views; returns how many there are then. */
async function count(edge: Edge, increment: number): Promise<number> {
  const response = await fetch(`${edge.httpUrl}/api/analytics/trigger-update`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ contentId, field: 'views', increment }),
  })
  expect(response.status).toBe(200)
  return ((await response.json()) as { value: number }).value
}

async function allShow(crowd: readonly Member[], views: number): Promise<void> {
  const missing = () => crowd.filter(member => !shows(member, contentId, views)).length
  await expect.poll(missing, { timeout: 90_000, interval: 100 }).toBe(0)
}

/** Prints for when the members planned their first try, and when it came, by second; returns the plans. */
function report(what: string, crowd: readonly Member[], began: number): number[] {
  const planned = crowd.map(({ plannedAt }) => plannedAt)
  const came = crowd.map(({ againAt }) => againAt)
  console.log(
    `${what}: first tries of ${crowd.length} clients, by second since the edge was told, as planned\n` +
      `${histogram(planned, began)}\nand as they came\n${histogram(came, began)}`,
  )
  return planned
}
