// Promise: the example is an app that works, built and started as "In a Next.js app" in the package's README says.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, test } from './support/fixtures'
import { buildNext, startNext } from './support/next-app'
import { post } from './support/post'

const counter = { contentId: 'article-1', organizationId: 'north' }

test('a Next.js app shows live counts, moves them by its own route, and falls back to it', async ({ start, page }) => {
  const directory = await mkdtemp(path.join(tmpdir(), 'counts-'))
  // One store, and one edge at a time that owns it; any origin is allowed, as an edge in development does by default.
  const edges = { ANALYTICS_DATA_DIR: directory, ANALYTICS_ALLOWED_ORIGINS: '*' }
  const second = await start(edges)
  await second.stop()
  const first = await start(edges)
  await post(first.httpUrl, { ...counter, increment: 20 })

  const env = {
    NEXT_PUBLIC_WS_URL: first.wsUrl,
    NEXT_PUBLIC_ORGANIZATION_ID: counter.organizationId,
    ANALYTICS_API_URL: `${first.httpUrl},${second.httpUrl}`,
  }
  await buildNext(env)
  const app = await startNext(env)
  try {
    const problems: string[] = []
    page.on('pageerror', error => problems.push(error.message))
    page.on('console', message => {
      if (/Content.Security.Policy|hydrat/i.test(message.text())) problems.push(message.text())
    })
    const response = await page.goto(app.url)
    expect(response?.headers()['content-security-policy']).toContain(
      `connect-src 'self' ${new URL(first.wsUrl).origin}`,
    )

    const [status, views, likes] = [page.getByTestId('status'), page.getByTestId('views'), page.getByTestId('likes')]
    await expect(status).toHaveText('live')
    await expect(views).toHaveText('20')
    await page.getByRole('button', { name: 'Like' }).click()
    await expect(likes).toHaveText('1')

    await first.kill()
    await second.restart()
    await expect(status).toHaveText('asking every few seconds')
    await post(second.httpUrl, counter)
    await expect(views).toHaveText('21')

    await second.stop()
    await first.restart()
    await post(first.httpUrl, counter)
    await expect(views).toHaveText('22')
    await expect(status).toHaveText('live')
    expect(problems).toEqual([])
  } finally {
    await app.stop()
    await rm(directory, { recursive: true, force: true })
  }
})
