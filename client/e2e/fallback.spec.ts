// Promise: a page whose edge is gone says so, shows what can be known, and comes back live with the right number.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, test } from './support/fixtures'
import { post } from './support/post'

const ids = ['article']
const contentId = 'article'

test('an edge is killed and comes back: the last number is marked stale, then the right one is live', async ({
  edge,
  counts,
}) => {
  await post(edge.httpUrl, { contentId, increment: 3 })
  await counts.openLive({ url: edge.wsUrl, ids, interval: 500 })
  await expect(counts.views(contentId)).toHaveText('3')

  await edge.kill()
  await expect(counts.status).toHaveText('reconnecting')
  await expect(counts.stale).toHaveText('stale')
  await expect(counts.error).not.toHaveText('none')
  await expect(counts.views(contentId)).toHaveText('3')

  await edge.restart()
  await post(edge.httpUrl, { contentId, increment: 4 })
  await counts.expectLive()
  await expect(counts.views(contentId)).toHaveText('7')
  await expect(counts.stale).toHaveText('fresh')
  await expect(counts.error).toHaveText('none')
  expect((await counts.record()).wentBack).toBe(0)
})

test('an edge that drains sends its pages away, and they come back', async ({ start, counts }) => {
  const edge = await start({ ANALYTICS_DRAIN_SECONDS: '1' })
  // Beside what the edge asks for, waits are short; how they are spread is the matter of other tests.
  await counts.page.addInitScript(() => {
    Math.random = () => 0.05
  })
  await counts.openLive({ url: edge.wsUrl, ids, interval: 500 })
  await edge.stop({ signal: 'SIGTERM', keepData: true })
  await edge.restart()
  await post(edge.httpUrl, { contentId, increment: 5 })
  await expect(counts.views(contentId)).toHaveText('5')
  await counts.expectLive()
  const { sockets } = await counts.record()
  expect(sockets[0]?.code).toBe(1012)
})

test('a second address that outlives the edge shows real numbers meanwhile', async ({ start, counts }) => {
  const directory = await mkdtemp(path.join(tmpdir(), 'counts-'))
  // One store, and one edge at a time that owns it: the second one's address must be known before its turn.
  const ANALYTICS_DATA_DIR = directory
  const second = await start({ ANALYTICS_DATA_DIR })
  await second.stop()
  const first = await start({ ANALYTICS_DATA_DIR })
  await post(first.httpUrl, { contentId, increment: 10 })
  const pollUrl = [first, second].map(edge => `${edge.httpUrl}/api/analytics/content`)
  await counts.openLive({ url: first.wsUrl, ids, interval: 300, pollUrl })
  await expect(counts.views(contentId)).toHaveText('10')

  await first.kill()
  await second.restart()
  await expect(counts.status).toHaveText('polling')
  await expect(counts.source).toHaveText('poll')
  await expect(counts.stale).toHaveText('fresh')
  await post(second.httpUrl, { contentId, increment: 5 })
  await expect(counts.views(contentId)).toHaveText('15')
  await expect(counts.status).toHaveText('polling')

  await second.stop()
  await first.restart()
  await post(first.httpUrl, { contentId })
  await expect(counts.views(contentId)).toHaveText('16')
  await counts.expectLive()
  const { wentBack, history } = await counts.record()
  expect(wentBack).toBe(0)
  expect(history.map(({ status }) => status)).not.toContain('failed')
  await rm(directory, { recursive: true, force: true })
})

test('in development invented numbers say that they are, and end with the first real one', async ({ edge, counts }) => {
  await post(edge.httpUrl, { contentId, increment: 100 })
  await counts.openLive({ url: edge.wsUrl, ids, interval: 200 }, 'development')
  await expect(counts.views(contentId)).toHaveText('100')
  await edge.kill()
  await expect(counts.source).toHaveText('simulated')
  await expect(counts.status).toHaveText('reconnecting')
  await expect(counts.views(contentId)).not.toHaveText('100')
  await edge.restart()
  await counts.expectLive()
  await expect(counts.views(contentId)).toHaveText('100')
})
