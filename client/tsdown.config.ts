// How the package is built. The rule: every entry point in both module systems, with its types, and nothing bundled that
// the application brings (React, TanStack Query).

import { defineConfig } from 'tsdown'

export default defineConfig({
  entry: ['src/index.ts', 'src/react.ts', 'src/query.ts', 'src/performance.ts', 'src/server.ts'],
  format: ['esm', 'cjs'],
  platform: 'neutral',
  target: 'es2022',
  dts: true,
  // Also of types nothing: a copied class is another class to a compiler.
  inlineOnly: [],
  fixedExtension: true,
  sourcemap: true,
})
