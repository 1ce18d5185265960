// Promise: what an edge serves at `/` in development is live, speaks to that edge alone, and can be used on a phone, in the
// dark and without a mouse.

import { DashboardPage } from './support/dashboard-page'
import { test as base, expect } from './support/fixtures'
import { drawn, faint, focused, operable, overhang, refusal, unfold } from './support/in-page'
import { post } from './support/post'

const contentId = 'article-1'
const OPERABLE = 'a[href], button:enabled, input, select, textarea, summary, [tabindex="0"]'
/** What the edges of controls need (WCAG 2, 1.4.11). */
const VISIBLE = 3

const test = base.extend<{ dashboard: DashboardPage }>({
  dashboard: async ({ start, page }, use) => {
    // As an edge in development does by default.
    const edge = await start({ ANALYTICS_ALLOWED_ORIGINS: '*' })
    const dashboard = new DashboardPage(page, edge)
    await use(dashboard)
    const { host } = new URL(edge.httpUrl)
    const elsewhere = dashboard.asked.filter(url => !url.startsWith('data:') && new URL(url).host !== host)
    expect(elsewhere, 'asked of others').toEqual([])
  },
})

test('100 views are sent and seen, and nobody but the edge is asked', async ({ dashboard, page }) => {
  await post(dashboard.edge.httpUrl, { contentId, increment: 7 })
  await dashboard.open(`?id=${contentId}`)
  await expect(dashboard.state).toContainText('Live')
  await expect(dashboard.count(contentId, 'Views')).toHaveText('7')
  await dashboard.send.click()
  await expect(dashboard.count(contentId, 'Views')).toHaveText('107')
  await expect(dashboard.outcome).toContainText(/^\+100 views of article-1: .* pushed through the socket$/)
  expect(dashboard.asked).toContain(dashboard.edge.wsUrl)
  expect(dashboard.complaints).toEqual([])

  // A port that is not the edge's.
  expect(await page.evaluate(refusal, 'ws://127.0.0.1:9/analytics')).toBe('connect-src')
})

test('a socket that is dropped is polled for until it is back', async ({ dashboard }) => {
  await dashboard.open(`?id=${contentId}&interval=1000`)
  await expect(dashboard.state).toContainText('Live')
  await dashboard.drop.focus()
  await dashboard.drop.press('Enter')
  await expect(dashboard.state).toContainText('Polling')
  // Its name stays, and so does the focus.
  await expect(dashboard.drop).toBeFocused()
  await expect(dashboard.drop).toHaveAttribute('aria-disabled', 'true')
  await post(dashboard.edge.httpUrl, { contentId, increment: 5 })
  await expect(dashboard.count(contentId, 'Views')).toHaveText('5')
  await expect(dashboard.state).toContainText('Polling')
  await expect(dashboard.state).toContainText('Live')
  await expect(dashboard.drop).toHaveAttribute('aria-disabled', 'false')
})

test('what came of an older increment does not stand where a newer one’s should', async ({ dashboard, page }) => {
  await dashboard.open(`?id=${contentId}`)
  await expect(dashboard.state).toContainText('Live')
  let release = () => {}
  const held = new Promise<void>(resolve => {
    release = resolve
  })
  await page.route('**/trigger-update', async route => {
    if (route.request().postData()?.includes('"views"')) await held
    await route.continue()
  })
  await dashboard.send.click()
  await dashboard.card(contentId).getByRole('button', { name: 'Add 1 to likes' }).click()
  await expect(dashboard.outcome).toContainText('+1 likes')
  const answered = page.waitForResponse(response => response.request().method() === 'POST')
  release()
  await (await answered).finished()
  await expect(dashboard.count(contentId, 'Views')).toHaveText('100')
  await page.evaluate(drawn)
  await expect(dashboard.outcome).toContainText('+1 likes')
})

test('the address says what is watched', async ({ dashboard, page }) => {
  const counter = { contentId: 'one', organizationId: 'north' }
  await post(dashboard.edge.httpUrl, { ...counter, increment: 3 })
  await post(dashboard.edge.httpUrl, { ...counter, organizationId: 'south', increment: 50 })
  await dashboard.open('?id=one&id=two%20words&organizationId=north')
  await expect(dashboard.count('one', 'Views')).toHaveText('3')
  await expect(page.getByRole('heading', { level: 3 })).toHaveText(['one', 'two words'])
  await expect(page.getByLabel('Content ids')).toHaveValue('one\ntwo words')
  await expect(page.getByLabel('Organization')).toHaveValue('north')
  await dashboard.send.click()
  await expect(dashboard.count('one', 'Views')).toHaveText('103')
  expect(await post(dashboard.edge.httpUrl, counter)).toBe(104)
})

test('a phone’s width is enough', async ({ dashboard, page }) => {
  await page.setViewportSize({ width: 360, height: 740 })
  await post(dashboard.edge.httpUrl, { contentId: 'x'.repeat(256), increment: 1_000_000_000 })
  for (const search of ['', '?id=', `?id=${'x'.repeat(256)}&id=two&organizationId=north`]) {
    await dashboard.open(search)
    await expect(dashboard.state).toContainText(search === '?id=' ? 'Idle' : 'Live')
    await page.evaluate(unfold)
    expect(await page.evaluate(overhang), search).toBe(0)
  }
})

test('everything can be reached by keyboard, in order, and is seen to be reached', async ({ dashboard, page }) => {
  await dashboard.open(`?id=${contentId}&id=two`)
  await expect(dashboard.state).toContainText('Live')
  await expect(dashboard.count(contentId, 'Views')).toHaveText('0')
  await page.evaluate(unfold)
  const expected = await page.evaluate(operable, OPERABLE)
  expect(expected.length).toBeGreaterThan(20)
  const reached = []
  for (let tabs = 0; tabs <= expected.length; tabs++) {
    await page.keyboard.press('Tab')
    const stop = await page.evaluate(focused, OPERABLE)
    if (stop === null) break
    reached.push(stop)
  }
  expect(reached).toEqual(expected)

  await dashboard.send.focus()
  await page.keyboard.press('Enter')
  await expect(dashboard.count(contentId, 'Views')).toHaveText('100')
  await page.getByRole('radio', { name: 'Views' }).focus()
  await page.keyboard.press('ArrowRight')
  await expect(page.getByRole('heading', { name: 'Likes gained' })).toBeVisible()
  await page.getByRole('switch', { name: 'Enabled' }).focus()
  await page.keyboard.press('Space')
  await expect(dashboard.state).toContainText('Paused')
})

test('it is light or dark as its reader’s device is, and its controls stand out in both', async ({
  dashboard,
  page,
}) => {
  const grounds: string[] = []
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    await dashboard.open()
    await expect(dashboard.state).toContainText('Live')
    expect(await page.evaluate(faint, VISIBLE), colorScheme).toEqual([])
    grounds.push(await page.evaluate(() => getComputedStyle(document.body).backgroundColor))
  }
  expect(grounds).toEqual(['rgb(243, 245, 248)', 'rgb(15, 20, 26)'])
  expect(dashboard.complaints).toEqual([])
})
