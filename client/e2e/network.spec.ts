// Promise: a page notices a line that is dead, whatever the browser says of it, and is back as soon as the line is.

import { expect, test } from './support/fixtures'
import { post } from './support/post'

const ids = ['article']
const contentId = 'article'

test('offline and online: back at once, not when the next try would have been', async ({ edge, hop, counts }) => {
  const line = await hop(edge)
  // Every wait is as long as it can be, so that being early is not luck.
  await counts.page.addInitScript(() => {
    Math.random = () => 0.999
  })
  await counts.openLive({ url: `ws://${line.host}/analytics`, ids, interval: 60_000 })

  // Emulation refuses new sockets, but keeps open ones open and only holds their messages back; so the line is cut too.
  await counts.page.context().setOffline(true)
  line.cut()
  await expect(counts.status).toHaveText('reconnecting')
  // The third try would come eight seconds after the second one failed.
  await expect.poll(async () => (await counts.record()).sockets[1]?.closedAt ?? null).not.toBeNull()
  await post(edge.httpUrl, { contentId, increment: 9 })
  line.heal()
  const online = Date.now()
  await counts.page.context().setOffline(false)
  await counts.expectLive()
  await expect(counts.views(contentId)).toHaveText('9')
  const { sockets } = await counts.record()
  expect((sockets[2]?.at ?? Number.POSITIVE_INFINITY) - online).toBeLessThan(4_000)
})

test('a socket that looks alive and is dead is found out when the network changes', async ({ edge, hop, counts }) => {
  const line = await hop(edge)
  await counts.openLive({ url: `ws://${line.host}/analytics`, ids, interval: 60_000 })
  line.freeze()
  await post(edge.httpUrl, { contentId, increment: 6 })
  await counts.page.evaluate(() => window.dispatchEvent(new Event('online')))
  await expect(counts.views(contentId)).toHaveText('6')
  await counts.expectLive()
})

test('a socket that looks alive and is dead is found out by silence', async ({ edge, hop, counts }) => {
  const line = await hop(edge)
  await counts.page.clock.install()
  await counts.openLive({ url: `ws://${line.host}/analytics`, ids, interval: 60_000 })
  line.freeze()
  await post(edge.httpUrl, { contentId, increment: 8 })
  await counts.page.clock.fastForward(26_000)
  await counts.page.clock.fastForward(10_000)
  await expect(counts.views(contentId)).toHaveText('8')
  await counts.expectLive()
})

test('a machine that slept keeps a socket that lives', async ({ edge, counts }) => {
  await counts.page.clock.install()
  await counts.openLive({ url: edge.wsUrl, ids })
  for (const sleep of [26_000, 3_600_000, 60_000]) {
    await counts.page.clock.fastForward(sleep)
    const views = await post(edge.httpUrl, { contentId })
    await expect(counts.views(contentId)).toHaveText(String(views))
  }
  expect((await counts.record()).sockets).toHaveLength(1)
  await counts.expectLive()
})
