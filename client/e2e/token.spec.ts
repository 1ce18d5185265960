// Promise: a token is renewed without a gap, a refused one is said to be refused, and why.

import type { Page } from '@playwright/test'
import { PRODUCTION, token } from '../test/support/edge'
import { expect, test } from './support/fixtures'
import { post } from './support/post'

const ids = ['article']
const contentId = 'article'
const organizationId = 'north'
const writer = () => token({ organizationId, scope: 'analytics:write' })

const inSeconds = (seconds: number) => Math.floor(Date.now() / 1000) + seconds

/** Gives the page tokens; `mint` is told how many were given before. */
async function giveTokens(page: Page, mint: (given: number, reason: string) => string): Promise<void> {
  let given = 0
  await page.exposeFunction('mintToken', (reason: string) => mint(given++, reason))
}

test('a token is renewed in place before it ends', async ({ start, counts }) => {
  const edge = await start(PRODUCTION)
  let firstEnds = 0
  await giveTokens(counts.page, given => {
    const exp = inSeconds(given === 0 ? 6 : 600)
    if (given === 0) firstEnds = exp * 1000
    return token({ organizationId, exp })
  })
  await counts.openLive({ url: edge.wsUrl, ids, token: true })
  await expect.poll(async () => (await counts.record()).tokens).toEqual(['connect', 'expired'])
  // Two seconds after its end the edge has closed whatever still stood on the first token.
  await expect.poll(() => Date.now()).toBeGreaterThan(firstEnds + 2_000)
  await post(edge.httpUrl, { contentId, increment: 2, organizationId }, writer())
  await expect(counts.views(contentId)).toHaveText('2')
  const { sockets, history } = await counts.record()
  expect(sockets).toHaveLength(1)
  expect(history.filter(({ status }) => status === 'reconnecting')).toEqual([])
})

test('a token that ends closes the socket, and a fresh one opens the next', async ({ start, counts }) => {
  const edge = await start(PRODUCTION)
  await giveTokens(counts.page, given => {
    // The renewal in place fails.
    if (given === 1) throw new Error('the token service rests')
    return token({ organizationId, exp: inSeconds(given === 0 ? 4 : 600) })
  })
  await counts.openLive({ url: edge.wsUrl, ids, token: true })
  await expect.poll(async () => (await counts.record()).sockets.length).toBe(2)
  await counts.expectLive()
  await post(edge.httpUrl, { contentId, increment: 3, organizationId }, writer())
  await expect(counts.views(contentId)).toHaveText('3')
  const { sockets, tokens } = await counts.record()
  expect(sockets[0]?.code).toBe(4401)
  expect(tokens).toEqual(['connect', 'expired', 'expired'])
})

test('a refused token ends in `failed` with the edge’s reason, and a good one is taken up', async ({
  start,
  counts,
}) => {
  const edge = await start(PRODUCTION)
  let good = false
  await giveTokens(counts.page, () => {
    const signed = token({ organizationId })
    return good ? signed : `${signed.slice(0, signed.lastIndexOf('.'))}.${'A'.repeat(43)}`
  })
  await counts.open({ url: edge.wsUrl, ids, token: true })
  await expect(counts.status).toHaveText('failed')
  await expect(counts.error).toContainText('unauthorized: ')
  // Once for the connection, once because a fresh one might have helped.
  expect((await counts.record()).tokens).toEqual(['connect', 'expired'])

  good = true
  await counts.page.getByRole('button', { name: 'Reconnect' }).click()
  await counts.expectLive()
  await expect(counts.error).toHaveText('none')
})

test('a scope that the token does not cover ends in `failed`', async ({ start, counts }) => {
  const edge = await start(PRODUCTION)
  await giveTokens(counts.page, () => token({ organizationId }))
  await counts.open({ url: edge.wsUrl, ids, organizationId: 'south', token: true })
  await expect(counts.status).toHaveText('failed')
  await expect(counts.error).toContainText('forbidden: ')
  await expect(counts.views(contentId)).toHaveText('unknown')
})

test('in production without a token the page says what is missing', async ({ start, counts }) => {
  const edge = await start(PRODUCTION)
  await counts.open({ url: edge.wsUrl, ids })
  await expect(counts.status).toHaveText('failed')
  await expect(counts.error).toContainText('unauthorized: ')
})
