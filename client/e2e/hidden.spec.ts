// Promise: a page that nobody looks at keeps its one socket and bothers nobody, and is right when it is looked at again.

import { expect } from './support/fixtures'
import { hide, test } from './support/peoples-browser'
import { connectedClients, post } from './support/post'

const ids = ['article']
const contentId = 'article'

test('a hidden tab does not flap', async ({ edge, counts }) => {
  await counts.openLive({ url: edge.wsUrl, ids })
  const show = await hide(counts.page)
  const hiddenAt = Date.now()
  // Longer than the silence after which the client asks (25 s) and its patience (10 s) together.
  await expect.poll(() => Date.now() - hiddenAt, { timeout: 60_000, intervals: [1_000] }).toBeGreaterThan(42_000)
  expect(await connectedClients(edge.httpUrl)).toBe(1)
  await post(edge.httpUrl, { contentId, increment: 12 })
  await show()
  await expect(counts.views(contentId)).toHaveText('12')
  await counts.expectLive()
  const { sockets, history } = await counts.record()
  expect(sockets).toHaveLength(1)
  expect(history.filter(({ status }) => status === 'reconnecting')).toEqual([])
})

test('a hidden tab whose edge is gone does not poll, and asks at once when it is seen', async ({ edge, counts }) => {
  await post(edge.httpUrl, { contentId, increment: 1 })
  await counts.openLive({ url: edge.wsUrl, ids, interval: 200 })
  await expect(counts.views(contentId)).toHaveText('1')
  const asked: string[] = []
  counts.page.on('request', request => {
    if (request.url().includes('/content')) asked.push(request.url())
  })
  // Nothing but a poll could ask: the way back is held off for as long as the test takes.
  await counts.page.evaluate(() => {
    Math.random = () => 0.999
  })
  const show = await hide(counts.page)
  await edge.kill()
  await expect.poll(async () => (await counts.record()).sockets[0]?.closedAt ?? null).not.toBeNull()
  const closedAt = Date.now()
  // Ten intervals, and less than the first wait.
  await expect.poll(() => Date.now() - closedAt).toBeGreaterThan(2_000)
  expect(asked).toEqual([])
  await edge.restart()
  await post(edge.httpUrl, { contentId, increment: 1 })
  await show()
  await expect(counts.views(contentId)).toHaveText('2')
  await counts.expectLive()
})
