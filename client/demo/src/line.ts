// The line to the edge, which can be cut on purpose. The rule: to the client a cut looks as it does in the field: the
// socket ends without a Close frame, and new ones fail, until the line is back.

/** What is known of the line. The object is the same until something changes. */
export interface LineState {
  /** Until when it is cut, in milliseconds since the epoch; `null`: it is not. */
  readonly cutUntil: number | null
}

export interface Line {
  /** For the client's `WebSocket` option. */
  readonly WebSocket: typeof globalThis.WebSocket
  /** When the last frame came, in milliseconds since the epoch. */
  heardAt(): number | null
  /** Cuts it for a time, in milliseconds. */
  cut(duration: number): void
  subscribe(listener: () => void): () => void
  getSnapshot(): LineState
}

const WHOLE: LineState = { cutUntil: null }

export function createLine(): Line {
  const sockets = new Set<LineSocket>()
  const listeners = new Set<() => void>()
  let state = WHOLE
  let heardAt: number | null = null

  const become = (next: LineState) => {
    state = next
    for (const listener of listeners) listener()
  }

  class LineSocket extends globalThis.WebSocket {
    private lost = false

    constructor(url: string | URL, protocols?: string | string[]) {
      super(url, protocols ?? [])
      sockets.add(this)
      this.addEventListener('message', () => {
        heardAt = Date.now()
      })
      this.addEventListener('close', event => {
        sockets.delete(this)
        // The client has been told already, by `lose`.
        if (this.lost && event.isTrusted) event.stopImmediatePropagation()
      })
      // Later, as a network fails: whoever made it has had the time to listen.
      if (state.cutUntil !== null) setTimeout(() => this.lose(), 0)
    }

    lose(): void {
      if (this.lost || this.readyState > globalThis.WebSocket.OPEN) return
      this.lost = true
      this.close()
      this.dispatchEvent(new CloseEvent('close', { code: 1006, wasClean: false }))
    }
  }

  return {
    WebSocket: LineSocket,
    heardAt: () => heardAt,
    cut(duration) {
      if (state.cutUntil !== null) return
      become({ cutUntil: Date.now() + duration })
      for (const socket of [...sockets]) socket.lose()
      setTimeout(() => {
        become(WHOLE)
        // What a browser says when a network comes back.
        window.dispatchEvent(new Event('online'))
      }, duration)
    },
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    getSnapshot: () => state,
  }
}
