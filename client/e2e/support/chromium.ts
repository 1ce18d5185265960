// The browser. The rule: the one that the system has, and it talks to nobody but the pages under test.

import type { LaunchOptions } from '@playwright/test'

export const CHROMIUM: LaunchOptions = {
  executablePath: process.env.CHROMIUM_BIN ?? '/usr/bin/chromium',
  args: [
    // Chromium's own sandbox refuses to run as root, as which containers and CI often run.
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
}
