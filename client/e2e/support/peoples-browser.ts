// A browser whose tabs are hidden, frozen and kept as people's are. The rule: nothing is pretended: the test runner's own
// browser treats every page as the one in front, and keeps no page that was left.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { chromium, expect, type Page } from '@playwright/test'
import { CHROMIUM } from './chromium'
import { test as base } from './fixtures'

/** The tests' fixtures, with `page` in such a browser. */
export const test = base.extend({
  // biome-ignore lint/correctness/noEmptyPattern: the runner reads from the pattern which fixtures this one needs
  page: async ({}, use) => {
    const profile = await mkdtemp(path.join(tmpdir(), 'counts-profile-'))
    // Without a first tab: connecting while that one loads can hang.
    const own = ['--headless', '--no-startup-window', '--remote-debugging-port=0', `--user-data-dir=${profile}`]
    const args = [...(CHROMIUM.args ?? []), ...own]
    const child = spawn(CHROMIUM.executablePath ?? 'chromium', args, { stdio: ['ignore', 'ignore', 'pipe'] })
    const ended = once(child, 'exit')
    try {
      const address = await new Promise<string>((resolve, reject) => {
        let said = ''
        child.stderr.on('data', part => {
          said += part
          const found = /DevTools listening on (ws:\S+)/.exec(said)?.[1]
          if (found !== undefined) resolve(found)
        })
        ended.then(() => reject(new Error(`chromium ended:\n${said}`)), reject)
      })
      const browser = await chromium.connectOverCDP(address, { noDefaults: true })
      const [context] = browser.contexts()
      if (!context) throw new Error('the browser has no window')
      await use(await context.newPage())
      await (await browser.newBrowserCDPSession()).send('Browser.close')
      await ended
    } finally {
      child.kill('SIGKILL')
      await ended
      // After a kill its helper processes write a little longer than it lives.
      await rm(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
    }
  },
})

/** Opens a tab in front of the page; returns when the page knows, with what shows it again. */
export async function hide(page: Page): Promise<() => Promise<void>> {
  const front = await page.context().newPage()
  await front.bringToFront()
  await expect.poll(() => page.evaluate(() => document.visibilityState)).toBe('hidden')
  return async () => {
    await front.close()
    await page.bringToFront()
    await expect.poll(() => page.evaluate(() => document.visibilityState)).toBe('visible')
  }
}
