// One WebSocket from its handshake to its end. The rule: it tells of its end exactly once, whatever ends it, and nothing
// after that. (Not a library's: `partysocket` makes its first retry without a wait, cannot draw a wait from the close code, and
// keeps what is sent while it is down.)

import { Heartbeat } from './heartbeat'
import { parseMessage } from './wire'
import type { ClientMessage, ServerMessage } from './wire.gen'

/** How long a handshake may take, in milliseconds. */
const HANDSHAKE = 15_000
/** RFC 6455 §7.4.1: what a browser reports when no Close frame came. */
const ABNORMAL = 1006

export interface SocketEvents {
  open(): void
  message(message: ServerMessage): void
  garbage(): void
  /** `opened` tells whether the handshake had succeeded. */
  end(code: number, reason: string, opened: boolean): void
}

export class Socket {
  readonly #socket: WebSocket
  readonly #deadline: ReturnType<typeof setTimeout>
  #heartbeat: Heartbeat | null = null
  #ended = false

  constructor(Implementation: typeof WebSocket, url: string, token: string | null, events: SocketEvents) {
    // The one place where a browser lets a page put a token (it is answered with `bearer`).
    const socket = token ? new Implementation(url, ['bearer', token]) : new Implementation(url)
    const end = (code: number, reason: string) => {
      if (this.#ended) return
      const opened = this.#heartbeat !== null
      this.#stop()
      events.end(code, reason, opened)
    }
    this.#socket = socket
    this.#deadline = setTimeout(() => {
      socket.close()
      end(ABNORMAL, 'the handshake took too long')
    }, HANDSHAKE)
    socket.onopen = () => {
      if (this.#ended) return
      clearTimeout(this.#deadline)
      const dead = () => {
        socket.close()
        end(ABNORMAL, 'no answer to a ping')
      }
      this.#heartbeat = new Heartbeat(() => this.send({ type: 'ping' }), dead)
      events.open()
    }
    socket.onmessage = ({ data }) => {
      if (this.#ended) return
      const message = parseMessage(data)
      if (!message) return events.garbage()
      this.#heartbeat?.heard()
      events.message(message)
    }
    socket.onclose = ({ code, reason }) => end(code, reason)
    // Always followed by a close event; without a listener some implementations throw.
    socket.onerror = () => {}
  }

  send(message: ClientMessage): void {
    if (this.#socket.readyState === 1) this.#socket.send(JSON.stringify(message))
  }

  /** Asks whether it still lives. */
  doubt(): void {
    this.#heartbeat?.doubt()
  }

  /** Ends it without a word to its owner. */
  close(): void {
    this.#stop()
    this.#socket.close(1000)
  }

  #stop(): void {
    this.#ended = true
    clearTimeout(this.#deadline)
    this.#heartbeat?.stop()
  }
}
