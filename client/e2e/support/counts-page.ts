// The page under test as the tests see it. The rule: it reads what a person would read, and beside that only what the page
// notes of itself.

import { expect, type Locator, type Page } from '@playwright/test'
import type { PageRecord } from '../page/record'
import { type Settings, toSearch } from '../page/settings'

export type Build = 'production' | 'development'

export class CountsPage {
  constructor(
    readonly page: Page,
    private readonly origin: string,
  ) {}

  get status(): Locator {
    return this.text('status')
  }

  get source(): Locator {
    return this.text('source')
  }

  get stale(): Locator {
    return this.text('stale')
  }

  get error(): Locator {
    return this.text('error')
  }

  views(id: string): Locator {
    return this.text(`views ${id}`)
  }

  likes(id: string): Locator {
    return this.text(`likes ${id}`)
  }

  async open(settings: Settings, build: Build = 'production'): Promise<void> {
    await this.page.goto(`${this.origin}/${build}/index.html${toSearch(settings)}`)
  }

  /** Opens the page and waits until it is live. */
  async openLive(settings: Settings, build?: Build): Promise<void> {
    await this.open(settings, build)
    await this.expectLive()
  }

  async expectLive(): Promise<void> {
    await expect(this.status).toHaveText('live')
    await expect(this.source).toHaveText('socket')
  }

  /** What the page has noted so far. */
  record(): Promise<PageRecord> {
    return this.page.evaluate(() => window.record)
  }

  /** Shown by the first component that uses the hook. */
  private text(name: string): Locator {
    return this.page.getByTestId(name).first()
  }
}
