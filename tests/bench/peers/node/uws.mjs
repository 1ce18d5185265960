// The edge's protocol on Node.js with uWebSockets.js, counts in memory. The rule: its own fastest way. Its topics, which
// gather what a turn of its loop publishes into one write per subscriber; its native part, never the stand-in in JavaScript
// that the package falls back to by itself; pings that it sends by itself.

import { createRequire } from 'node:module'
import { connected, content, count, paths, subscription } from './counts.mjs'

const native = `binaries/uws_${process.platform}_${process.arch}_${process.versions.modules}.node`
const uWS = createRequire(import.meta.url)(`@trufflesuite/uws-js-unofficial/${native}`)

const app = uWS.App()

app.ws(paths.socket, {
  compression: uWS.DISABLED,
  maxPayloadLength: 65_536,
  // It asks 16 seconds before it gives up: every 28 seconds.
  idleTimeout: 44,
  open: socket => socket.send(connected()),
  message: (socket, data) => {
    const { ids, answers } = subscription(Buffer.from(data).toString())
    socket.cork(() => {
      if (ids.length > 0) {
        for (const id of socket.getTopics()) socket.unsubscribe(id)
        for (const id of ids) socket.subscribe(id)
      }
      for (const text of answers) socket.send(text)
    })
  }
})

app.post(paths.post, response => {
  let body = ''
  let isAborted = false
  response.onAborted(() => {
    isAborted = true
  })
  response.onData((chunk, isLast) => {
    // The chunk is gone after this call.
    body += Buffer.from(chunk).toString()
    if (!isLast) return
    const { status, text, updates } = count(body)
    if (!isAborted) answer(response, status, text)
    for (const { id, text } of updates) app.publish(id, text)
  })
})

app.get(paths.content, (response, request) => {
  answer(response, '200 OK', content(new URLSearchParams(request.getQuery()).getAll('id')))
})

const answer = (response, status, text) =>
  response.cork(() => response.writeStatus(status).writeHeader('Content-Type', 'application/json').end(text))

app.listen('127.0.0.1', 0, socket => {
  if (!socket) throw new Error('no port to listen on')
  console.error(`listening ws=127.0.0.1:${uWS.us_socket_local_port(socket)}`)
})
