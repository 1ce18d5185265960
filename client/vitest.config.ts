// The tests of the package. The rule: the hook is tested under both Reacts it supports, everything else once.

import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const react18 = (path: string) => fileURLToPath(new URL(`test/react-18/node_modules/${path}`, import.meta.url))

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'core',
          include: ['test/{core,demo,performance,server,thousand}/**/*.test.ts'],
          environment: 'node',
        },
      },
      { test: { name: 'react-19', include: ['test/{react,query}/**/*.test.{ts,tsx}'], environment: 'jsdom' } },
      {
        // The testing library by its ES module: what is required is not aliased.
        resolve: {
          alias: {
            '@testing-library/react': '@testing-library/react/dist/@testing-library/react.esm.js',
            'react-dom': react18('react-dom'),
            react: react18('react'),
          },
        },
        test: {
          name: 'react-18',
          include: ['test/react/**/*.test.{ts,tsx}'],
          environment: 'jsdom',
          server: { deps: { inline: [/@testing-library/] } },
        },
      },
    ],
  },
})
