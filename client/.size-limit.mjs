// What a page pays, minified and gzipped. The rule: a limit is what is needed today and a little air; who raises one says why.

const weigh = (name, path, limit, external = []) => ({
  name,
  path,
  limit,
  gzip: true,
  modifyEsbuildConfig: config => ({
    ...config,
    format: 'esm',
    target: 'es2022',
    define: { ...config.define, 'process.env.NODE_ENV': '"production"' },
    external,
  }),
})

/** What a binding shares with the core: files that both import, and what the application brings. */
const shared = ['react', '@tanstack/*', './client-*', './error-*', './wire.gen-*', './performance-*']

export default [
  weigh('core', 'dist/index.mjs', '9.9 kB'),
  weigh('react, without the core', 'dist/react.mjs', '2 kB', shared),
  weigh('query, without the core', 'dist/query.mjs', '2 kB', shared),
  weigh('performance alone', 'dist/performance.mjs', '1.5 kB'),
]
