// How the dashboard is built. The rule: three files with fixed names and nothing in them that depends on when or where
// they were made, for they are committed, embedded in the edge, and compared byte for byte.

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/** The terms of what is built in, which are to go wherever it goes. */
const terms = ['react', 'uplot'].map(name => {
  const text = readFileSync(here(`../node_modules/${name}/LICENSE`), 'utf8').trim()
  return `${name}: ${text}`
})

export default defineConfig({
  root: here('.'),
  plugins: [react()],
  resolve: {
    // The package's public entry points, from its sources.
    alias: [
      { find: /^@analytics-edge\/client$/, replacement: here('../src/index.ts') },
      { find: /^@analytics-edge\/client\/(.+)$/, replacement: here('../src/$1.ts') },
    ],
  },
  build: {
    outDir: here('../../proxy/src/page'),
    emptyOutDir: true,
    target: 'es2022',
    sourcemap: false,
    cssCodeSplit: false,
    modulePreload: false,
    reportCompressedSize: false,
    rolldownOptions: {
      output: {
        postBanner: `/*!\n${terms.join('\n\n')}\n*/`,
        entryFileNames: 'app.js',
        assetFileNames: 'app[extname]',
        codeSplitting: false,
      },
    },
  },
})
