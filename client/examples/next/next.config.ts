// The app's settings. The rule: a page may connect to this app and to its edge, and to nothing else.

import type { NextConfig } from 'next'

const development = process.env.NODE_ENV === 'development'

// The socket, and the same host by HTTP: that is asked while there is no socket, and why a handshake failed.
const edge = new URL(process.env.NEXT_PUBLIC_WS_URL || 'ws://localhost:3001/analytics')
const api = new URL(edge.href.replace(/^ws/, 'http'))

const contentSecurityPolicy = [
  "default-src 'self'",
  `connect-src 'self' ${edge.origin} ${api.origin}`,
  "img-src 'self' data:",
  "style-src 'self' 'unsafe-inline'",
  // Next.js starts a page with inline scripts; its guide "Content Security Policy" tells how nonces replace this word.
  `script-src 'self' 'unsafe-inline'${development ? " 'unsafe-eval'" : ''}`,
  "frame-ancestors 'none'",
].join('; ')

const config: NextConfig = {
  // There are other lock files above this folder; the app is this folder alone.
  turbopack: { root: __dirname },
  headers: async () => [
    { source: '/:path*', headers: [{ key: 'Content-Security-Policy', value: contentSecurityPolicy }] },
  ],
}

export default config
