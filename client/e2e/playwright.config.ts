// How the end-to-end tests run. The rule: a real Chromium, real edges, and nothing measured while something else runs.

import { defineConfig } from '@playwright/test'
import { CHROMIUM } from './support/chromium'

/** What is measured: a latency, a frame rate. It runs when the rest is done, one test at a time. */
const MEASURED = /measured\.spec\.ts/

export default defineConfig({
  testDir: '.',
  outputDir: '../test-results/e2e',
  globalSetup: './support/build-page.ts',
  // A tab that is hidden for 40 seconds, and the build of a Next.js app, take longest.
  timeout: 120_000,
  expect: { timeout: 20_000 },
  fullyParallel: true,
  workers: 2,
  forbidOnly: true,
  reporter: 'list',
  use: {
    browserName: 'chromium',
    launchOptions: CHROMIUM,
  },
  projects: [
    { name: 'chromium', testIgnore: MEASURED },
    { name: 'measured', testMatch: MEASURED, dependencies: ['chromium'], fullyParallel: false, workers: 1 },
  ],
})
