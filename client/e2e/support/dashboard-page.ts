// The dashboard as its users see it. The rule: it is found by what is read on it, and whatever it asks for is written down.

import type { Locator, Page } from '@playwright/test'
import type { Edge } from '../../test/support/edge'

export class DashboardPage {
  /** The addresses of all that was asked for, sockets included. */
  readonly asked: string[] = []
  /** What the browser complained of. */
  readonly complaints: string[] = []
  /** Its one word for the connection, and what that means. */
  readonly state: Locator
  /** What came of the newest increment. */
  readonly outcome: Locator
  readonly send: Locator
  readonly drop: Locator

  constructor(
    readonly page: Page,
    readonly edge: Edge,
  ) {
    this.state = page.getByRole('region', { name: 'Connection' }).getByRole('status')
    const actions = page.getByRole('region', { name: 'Try it' })
    this.outcome = actions.getByRole('status')
    this.send = actions.getByRole('button', { name: 'Send 100 views' })
    this.drop = actions.getByRole('button', { name: 'Drop the socket', exact: true })
    page.on('request', request => this.asked.push(request.url()))
    page.on('websocket', socket => this.asked.push(socket.url()))
    page.on('pageerror', error => this.complaints.push(error.message))
    page.on('console', message => {
      if (message.type() === 'error' || message.type() === 'warning') this.complaints.push(message.text())
    })
  }

  /** `search`: what the address says after the path. */
  async open(search = ''): Promise<void> {
    await this.page.goto(`${this.edge.httpUrl}/${search}`)
  }

  /** The card of a content. */
  card(id: string): Locator {
    return this.page.getByRole('listitem').filter({ has: this.page.getByRole('heading', { name: id, exact: true }) })
  }

  /** A count of a content, in digits. */
  count(id: string, title: 'Views' | 'Likes'): Locator {
    return this.card(id).locator('.metric').filter({ hasText: title }).locator('.value')
  }
}
