// What a page pays, minified and gzipped. The rule: a limit is what is needed today and a little air; who raises one says why.

const minified = {
  gzip: true,
  modifyEsbuildConfig: config => ({
    ...config,
    format: 'esm',
    target: 'es2022',
    define: { ...config.define, 'process.env.NODE_ENV': '"production"' },
    // Bindings are weighed without the core that they share.
    ...(config.entryPoints?.[0]?.match(/(react|query)\.mjs$/) && {
      external: ['react', '@tanstack/*', './defaults-*', './error-*', './wire.gen-*', './performance-*'],
    }),
  }),
}

export default [
  { name: 'core', path: 'dist/index.mjs', limit: '9.1 kB', ...minified },
  { name: 'react, without the core', path: 'dist/react.mjs', limit: '2 kB', ...minified },
  { name: 'query, without the core', path: 'dist/query.mjs', limit: '2 kB', ...minified },
  { name: 'performance alone', path: 'dist/performance.mjs', limit: '1.5 kB', ...minified },
]
