// Promise: a page shows what is counted, all hooks over one socket.

import { expect, test } from './support/fixtures'
import { connectedClients, post } from './support/post'

test('a page of another origin shows what was counted before it came, and what is counted after', async ({
  edge,
  counts,
}) => {
  await post(edge.httpUrl, { contentId: 'article', increment: 41 })
  await counts.openLive({ url: edge.wsUrl, ids: ['article', 'never counted'] })
  await expect(counts.views('article')).toHaveText('41')
  await expect(counts.views('never counted')).toHaveText('0')
  await post(edge.httpUrl, { contentId: 'article' })
  await expect(counts.views('article')).toHaveText('42')
  await post(edge.httpUrl, { contentId: 'article', field: 'likes' })
  await expect(counts.likes('article')).toHaveText('1')
  await post(edge.httpUrl, { contentId: 'article', field: 'likes', increment: -1 })
  await expect(counts.likes('article')).toHaveText('0')
  expect((await counts.record()).wentBack).toBe(0)
})

test('a page shows the counts of its own scope', async ({ edge, counts }) => {
  const contentId = 'article'
  await counts.openLive({ url: edge.wsUrl, ids: [contentId], organizationId: 'north', clientId: 'shop' })
  await post(edge.httpUrl, { contentId, increment: 1 })
  await post(edge.httpUrl, { contentId, increment: 20, organizationId: 'north' })
  await post(edge.httpUrl, { contentId, increment: 300, organizationId: 'north', clientId: 'shop' })
  await post(edge.httpUrl, { contentId, increment: 4000, organizationId: 'north', clientId: 'other shop' })
  await post(edge.httpUrl, { contentId, increment: 50000, organizationId: 'south' })
  // The last of them, so that all the others had their chance.
  await post(edge.httpUrl, { contentId, increment: 5, organizationId: 'north', clientId: 'shop' })
  await expect(counts.views(contentId)).toHaveText('326')
})

test('twenty hooks under StrictMode open one socket', async ({ edge, counts }) => {
  await post(edge.httpUrl, { contentId: 'article', increment: 7 })
  await counts.openLive({ url: edge.wsUrl, ids: ['article'], hooks: 20, strict: true }, 'development')
  await expect(counts.page.getByTestId('views article')).toHaveText(Array.from({ length: 20 }, () => '7'))
  expect(await connectedClients(edge.httpUrl)).toBe(1)
  expect((await counts.record()).sockets).toHaveLength(1)
})

test('an edge that does not allow the page’s origin is named as the reason', async ({ start, counts }) => {
  const edge = await start({ ANALYTICS_ALLOWED_ORIGINS: 'https://elsewhere.example' })
  await counts.open({ url: edge.wsUrl, ids: ['article'] })
  // A browser shows a page neither the status nor the text of an answer that its origin may not read.
  await expect(counts.error).toContainText(
    `${new URL(edge.httpUrl).host}/api/analytics/content does not answer this page`,
  )
  await expect(counts.status).toHaveText('reconnecting')
  await expect(counts.views('article')).toHaveText('unknown')
})
