// One connection at the fake edge. The rule: it answers every message of the protocol at once and in order, and notes
// what it was sent and what a real edge would have refused.

import type { WebSocket } from 'ws'
import type { ClientMessage, Code, ServerMessage } from '../../src/wire.gen'
import { type FakeCounter, type FakeCounters, type FakeScope, scopeOf, shows, updatesOf } from './fake-counters'

/** What a token may do; the scope stands in for one that a message leaves out. */
export interface Grant extends FakeScope {
  /** In milliseconds since the epoch; by default in an hour. */
  expiresAt?: number
}

/** Why something is refused. */
export interface Refusal {
  status: number
  code: Code
  error?: string
  /** In seconds. */
  retryAfter?: number
}

/** Judges a token, or its absence. */
export type Judge = (token: string | undefined) => Grant | Refusal

export class FakeConnection {
  /** Every message of the client, in order. */
  readonly received: ClientMessage[] = []
  /** The close code, once the connection has ended. */
  closed: number | undefined
  /** While set, nothing is read or sent: the peer of a half-open connection. */
  muted = false
  #ids: readonly string[] = []
  #scope: FakeScope

  constructor(
    readonly socket: WebSocket,
    readonly counters: FakeCounters,
    readonly judge: Judge,
    /** The token that the connection was opened with, later the one that renewed it. */
    public token: string | undefined,
    grant: Grant,
    /** How many ids may be subscribed. */
    readonly maxIds: number,
  ) {
    this.#scope = scopeOf(grant)
    socket.on('close', code => {
      this.closed = code
    })
    socket.on('message', (data, binary) => {
      if (!this.muted) this.#hear(binary ? undefined : String(data))
    })
    this.send({ type: 'connected', clientId: 'fake', timestamp: Date.now(), base: counters.base })
  }

  /** What is subscribed, in order. */
  get ids(): readonly string[] {
    return this.#ids
  }

  /** The scope in force. */
  get scope(): FakeScope {
    return this.#scope
  }

  /** Whether a counter's changes are shown here. */
  watches(counter: FakeCounter): boolean {
    return this.#ids.includes(counter.contentId) && shows(this.#scope, counter)
  }

  /** Sends a message, or any text at all. */
  send(message: ServerMessage | string): void {
    if (!this.muted) this.socket.send(typeof message === 'string' ? message : JSON.stringify(message))
  }

  /** Ends it properly. */
  close(code: number, reason = ''): void {
    this.socket.close(code, reason)
  }

  /** Ends it as a cut line does: the client sees 1006. */
  cut(): void {
    this.socket.terminate()
  }

  #hear(text: string | undefined): void {
    if (text === undefined) return this.#refuse('binary_unsupported', 'binary messages are not understood')
    let message: ClientMessage
    try {
      message = JSON.parse(text)
    } catch {
      return this.#refuse('invalid_json', 'the message is not JSON')
    }
    this.received.push(message)
    switch (message.type) {
      case 'ping':
        return this.send({ type: 'pong', timestamp: Date.now() })
      case 'subscribe':
        return this.#subscribe(message)
      case 'unsubscribe': {
        const dropped = message.contentIds
        this.#ids = dropped ? this.#ids.filter(id => !dropped.includes(id)) : []
        return
      }
      case 'authenticate':
        return this.#authenticate(message.token)
      default:
        this.#refuse('invalid_message', 'type must be one of subscribe, unsubscribe, ping, authenticate')
    }
  }

  #subscribe(message: Extract<ClientMessage, { type: 'subscribe' }>): void {
    const ids = [...new Set(message.contentIds)]
    if (new Set([...(message.mode === 'add' ? this.#ids : []), ...ids]).size > this.maxIds) {
      return this.#refuse('too_many_ids', `contentIds must name at most ${this.maxIds} different ids`)
    }
    const named = scopeOf({
      ...(message.organizationId != null && { organizationId: message.organizationId }),
      ...(message.clientId != null && { clientId: message.clientId }),
    })
    if (message.mode === 'add') {
      for (const key of ['organizationId', 'clientId'] as const) {
        if (named[key] !== undefined && named[key] !== this.#scope[key]) {
          return this.#refuse('invalid_field', `${key} must be the one in force, or absent, with mode "add"`)
        }
      }
      this.#ids = [...new Set([...this.#ids, ...ids])]
    } else {
      const granted = this.judge(this.token)
      this.#scope = { ...('status' in granted ? {} : scopeOf(granted)), ...named }
      this.#ids = ids
    }
    if (this.#scope.clientId !== undefined && this.#scope.organizationId === undefined) {
      this.#ids = []
      return this.#refuse('invalid_field', 'organizationId is needed beside clientId')
    }
    this.send({ type: 'subscribed', contentIds: ids, ...this.#scope, timestamp: Date.now() })
    for (const id of ids) {
      for (const counter of this.counters.visible(id, this.#scope))
        updatesOf(counter).forEach(update => void this.send(update))
    }
  }

  #authenticate(token: string): void {
    const granted = this.judge(token)
    if ('status' in granted) return this.#refuse(granted.code, granted.error ?? 'the token is refused')
    this.token = token
    const expiresAt = granted.expiresAt ?? Date.now() + 3_600_000
    this.send({ type: 'authenticated', expiresAt, timestamp: Date.now() })
  }

  #refuse(code: Code, error: string): void {
    this.send({ type: 'error', error, code, timestamp: Date.now() })
  }
}
