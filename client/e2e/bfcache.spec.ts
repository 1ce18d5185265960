// Promise: a page that the browser kept whole comes back live, with the right number.

import { CHROMIUM } from './support/chromium'
import { expect, test } from './support/fixtures'
import { post } from './support/post'

// The test runner turns the cache off by default.
test.use({ launchOptions: { ...CHROMIUM, ignoreDefaultArgs: ['--disable-back-forward-cache'] } })

test('back to a page that was kept', async ({ edge, counts }) => {
  await counts.openLive({ url: edge.wsUrl, ids: ['article'] })
  await counts.page.goto(new URL('/production/', counts.page.url()).href.replace('production/', ''))
  await post(edge.httpUrl, { contentId: 'article', increment: 11 })
  await counts.page.goBack()
  await expect(counts.views('article')).toHaveText('11')
  await counts.expectLive()
  expect((await counts.record()).pageshows).toEqual([false, true])
})
