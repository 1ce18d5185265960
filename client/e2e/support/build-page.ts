// Builds the page under test and serves it. The rule: from the built package, as an application would install it, once for
// production and once for development, on an origin of its own.

import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import react from '@vitejs/plugin-react'
import { build, preview } from 'vite'

const PAGE = fileURLToPath(new URL('../page', import.meta.url))
const ENTRY = fileURLToPath(new URL('../../dist/react.mjs', import.meta.url))

/** The page's origin is in `COUNTS_PAGE` from here on; the builds are under `/production/` and `/development/`. */
export default async function setup(): Promise<() => Promise<void>> {
  await stat(ENTRY).catch(() => {
    throw new Error('the package is not built: run `npm run build` in client/, then this again')
  })
  const outDir = await mkdtemp(path.join(tmpdir(), 'counts-page-'))
  for (const mode of ['production', 'development'] as const) await buildPage(mode, path.join(outDir, mode))
  const server = await preview({
    configFile: false,
    root: PAGE,
    logLevel: 'warn',
    appType: 'mpa',
    build: { outDir },
    preview: { host: '127.0.0.1', port: 0 },
  })
  const address = server.httpServer.address()
  if (address === null || typeof address === 'string') throw new Error('the page is not served')
  process.env.COUNTS_PAGE = `http://127.0.0.1:${address.port}`
  return async () => {
    await server.close()
    await rm(outDir, { recursive: true, force: true })
  }
}

/** React mounts everything twice under StrictMode in its development build only, so that one is needed too. */
async function buildPage(mode: 'production' | 'development', outDir: string): Promise<void> {
  await build({
    configFile: false,
    root: PAGE,
    base: './',
    mode,
    logLevel: 'warn',
    plugins: [react()],
    define: { 'process.env.NODE_ENV': JSON.stringify(mode) },
    build: { outDir, emptyOutDir: true, minify: mode === 'production' },
  })
}
