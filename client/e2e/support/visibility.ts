// Hiding a page from its viewer. The rule: the browser itself does it, so that its timers and frames are those of a hidden
// page, not only the word of it.

import { type CDPSession, expect, type Page } from '@playwright/test'

const sessions = new WeakMap<Page, CDPSession>()

/** Hides the page's window; returns when the page knows. */
export async function hide(page: Page): Promise<void> {
  await setWindow(page, 'minimized')
  await expect.poll(() => page.evaluate(() => document.visibilityState)).toBe('hidden')
}

export async function show(page: Page): Promise<void> {
  await setWindow(page, 'normal')
  await expect.poll(() => page.evaluate(() => document.visibilityState)).toBe('visible')
}

async function setWindow(page: Page, windowState: 'minimized' | 'normal'): Promise<void> {
  const session = sessions.get(page) ?? (await page.context().newCDPSession(page))
  sessions.set(page, session)
  // The test runner otherwise has the browser treat every page as the one in front.
  await session.send('Emulation.setFocusEmulationEnabled', { enabled: windowState === 'normal' })
  const { windowId } = await session.send('Browser.getWindowForTarget')
  await session.send('Browser.setWindowBounds', { windowId, bounds: { windowState } })
}
