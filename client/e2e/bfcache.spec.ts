// Promise: a page that the browser kept whole comes back live, with the right number.

import { expect } from './support/fixtures'
import { test } from './support/peoples-browser'
import { post } from './support/post'

test('back to a page that was kept', async ({ edge, counts }) => {
  await counts.openLive({ url: edge.wsUrl, ids: ['article'] })
  await counts.page.goto('about:blank')
  await post(edge.httpUrl, { contentId: 'article', increment: 11 })
  // A page that comes back whole does not load.
  await counts.page.goBack({ waitUntil: 'commit' })
  await expect(counts.views('article')).toHaveText('11')
  await counts.expectLive()
  expect((await counts.record()).pageshows).toEqual([false, true])
})
