// The edge's protocol on Node.js with `ws` and the HTTP server of Node, counts in memory. The rule: as those who know `ws`
// write it. A frame is made once and written to every subscriber's socket, as socket.io does it; what one call changed goes
// out in one write per subscriber; who does not answer a ping within 30 seconds is dropped, as the README of `ws` has it.

import { createServer } from 'node:http'
import WebSocket, { Sender, WebSocketServer } from 'ws'
import { connected, content, count, paths, subscription } from './counts.mjs'

const subscribers = new Map()

const server = createServer((request, response) => {
  if (request.method === 'GET') {
    const url = new URL(request.url, 'http://localhost')
    return answer(response, 200, content(url.searchParams.getAll('id')))
  }
  const chunks = []
  request.on('data', chunk => chunks.push(chunk))
  request.on('end', () => {
    const { status, text, updates } = count(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks))
    answer(response, Number.parseInt(status, 10), text)
    announce(updates)
  })
})
server.keepAliveTimeout = 0

function answer(response, status, text) {
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) })
  response.end(text)
}

const sockets = new WebSocketServer({ server, path: paths.socket, perMessageDeflate: false, maxPayload: 65_536 })

sockets.on('connection', socket => {
  socket.ids = []
  socket.isAlive = true
  socket.on('message', onMessage)
  socket.on('pong', onPong)
  socket.on('close', leave)
  socket.on('error', socket.terminate)
  socket.send(connected())
})

function onMessage(data) {
  const { ids, answers } = subscription(data)
  if (ids.length > 0) {
    leave.call(this)
    this.ids = ids
    for (const id of ids) {
      const others = subscribers.get(id)
      if (others) others.add(this)
      else subscribers.set(id, new Set([this]))
    }
  }
  for (const text of answers) this.send(text)
}

function onPong() {
  this.isAlive = true
}

function leave() {
  for (const id of this.ids) {
    const others = subscribers.get(id)
    others.delete(this)
    if (others.size === 0) subscribers.delete(id)
  }
  this.ids = []
}

function announce(updates) {
  const together = updates.length > 1 ? new Set() : null
  for (const { id, text } of updates) {
    const list = [frame(text)]
    for (const socket of subscribers.get(id) ?? []) {
      if (socket.readyState !== WebSocket.OPEN) continue
      if (together && !together.has(socket)) {
        together.add(socket)
        socket._socket.cork()
      }
      socket._sender.sendFrame(list)
    }
  }
  for (const socket of together ?? []) socket._socket?.uncork()
}

const frame = text =>
  Buffer.concat(Sender.frame(Buffer.from(text), { fin: true, rsv1: false, opcode: 1, mask: false }))

setInterval(() => {
  for (const socket of sockets.clients) {
    if (!socket.isAlive) socket.terminate()
    else {
      socket.isAlive = false
      socket.ping()
    }
  }
}, 30_000)

server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
  console.error(`listening ws=127.0.0.1:${server.address().port}`)
})
