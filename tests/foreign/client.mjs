// Watches counts with the `ws` package, an implementation of RFC 6455 that is not ours.
//
// One JSON object a line on standard output: the edge's own messages as they came, and between them lines with the key
// `client` for what happens to the connection (opened, refused, pinged, expected, closed). It ends when its standard
// input does: asks for a pong, closes with 1000, and leaves with status 0 if every --expect was met. `client.py` is the
// same program over another implementation.

import { parseArgs } from 'node:util'
import WebSocket from 'ws'

const { values: options, positionals: [url] } = parseArgs({
  allowPositionals: true,
  options: {
    id: { type: 'string', multiple: true },
    organization: { type: 'string' },
    client: { type: 'string' },
    token: { type: 'string' },
    'token-by': { type: 'string', default: 'subprotocol' },
    expect: { type: 'string', multiple: true, default: [] },
  },
})

const say = (client, details = {}) => console.log(JSON.stringify({ client, ...details }))
let expected = options.expect.map(text => JSON.parse(text))

// The two places for a token that both kinds of client have.
const byHeader = options.token !== undefined && options['token-by'] === 'header'
const bySubprotocol = options.token !== undefined && !byHeader
const socket = new WebSocket(url, bySubprotocol ? ['bearer', options.token] : [], {
  headers: byHeader ? { Authorization: `Bearer ${options.token}` } : {},
})

socket.on('open', () => {
  say('opened', { subprotocol: socket.protocol || null, extensions: socket.extensions ? [socket.extensions] : [] })
  socket.send(JSON.stringify({
    type: 'subscribe', contentIds: options.id, organizationId: options.organization, clientId: options.client,
  }))
  process.stdin.on('end', () => socket.send('{"type":"ping"}')).resume()
})

// The package answers pings by itself.
socket.on('ping', () => say('pinged'))

socket.on('message', data => {
  console.log(data.toString())
  const message = JSON.parse(data)
  if (message.type === 'pong') socket.close(1000)
  if (message.type !== 'analytics_update' || expected.length === 0) return
  expected = expected.filter(value =>
    !['contentId', 'field', 'value'].every(key => value[key] === message[key]))
  if (expected.length === 0) say('expected')
})

socket.on('unexpected-response', (_, response) => {
  say('refused', { status: response.statusCode })
  process.exit(1)
})

socket.on('error', error => console.error(error.message))

socket.on('close', code => {
  say('closed', { code })
  process.exit(code === 1000 && expected.length === 0 ? 0 : 1)
})
