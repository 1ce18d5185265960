// An edge inside the test's own process. The rule: it speaks the protocol over real sockets on a port of its own, and
// breaks only where and when a test tells it to.

import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import type { Duplex } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { WebSocketServer } from 'ws'
import type { Field } from '../../src/wire.gen'
import { FakeConnection, type Judge, type Refusal } from './fake-connection'
import { FakeCounters, type FakeScope, updateOf } from './fake-counters'

export type { FakeConnection, FakeScope, Judge, Refusal }

/** One HTTP request that is no upgrade, as it came. */
export interface FakeRequest {
  /** Path and query. */
  url: string
  token: string | undefined
}

export interface FakeEdgeOptions {
  /** The store's lowest possible version. */
  base?: number
  /** The store's clock, in milliseconds since the epoch; by default this machine's. */
  clock?: () => number
  /** Judges the token of every call and upgrade; by default all are welcome. */
  judge?: Judge
  /** How many ids a connection may subscribe to. */
  maxIds?: number
}

const VECTORS = join(dirname(fileURLToPath(import.meta.url)), '../../../shared/vectors/performance.json')

const NOT_FOUND: Refusal = { status: 404, code: 'not_found' }

/** What a browser on another origin needs to be told. */
const CORS = {
  'access-control-allow-origin': '*',
  'access-control-allow-headers': 'Authorization, Content-Type, Idempotency-Key',
  'access-control-expose-headers': 'Retry-After, Idempotency-Replayed',
}

/** Starts one on a free port of the loopback. Whoever starts it stops it. */
export async function startFakeEdge(options: FakeEdgeOptions = {}): Promise<FakeEdge> {
  const edge = new FakeEdge(options)
  await edge.up()
  return edge
}

export class FakeEdge {
  /** Every connection there ever was, the first first. */
  readonly connections: FakeConnection[] = []
  /** Every plain request there ever was. */
  readonly requests: FakeRequest[] = []
  /** How many upgrades were asked for, refused ones included. */
  upgrades = 0
  readonly #counters: FakeCounters
  readonly #judge: Judge
  readonly #server = createServer((request, response) => this.#answer(request, response))
  readonly #sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    handleProtocols: protocols => (protocols.has('bearer') ? 'bearer' : false),
  })
  #port = 0
  readonly #maxIds: number
  #refusal: Refusal | null = null
  /** By path. */
  readonly #refusals = new Map<string, Refusal>()

  constructor({ base = 4_194_304, clock, judge = () => ({}), maxIds = 1_000 }: FakeEdgeOptions) {
    this.#counters = new FakeCounters(base, clock)
    this.#judge = judge
    this.#maxIds = maxIds
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head))
  }

  /** `ws://127.0.0.1:<port>/analytics`, the same after `down` and `up`. */
  get wsUrl(): string {
    return `ws://127.0.0.1:${this.#port}/analytics`
  }

  get httpUrl(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  /** The connections that are still there. */
  get open(): readonly FakeConnection[] {
    return this.connections.filter(connection => connection.closed === undefined)
  }

  /** Counts, and tells whoever watches. Gives the version that the counter has then. */
  count(contentId: string, field: Field, increment = 1, scope: FakeScope = {}): number {
    const counter = this.#counters.add(contentId, field, increment, scope)
    for (const connection of this.open) {
      if (connection.watches(counter)) connection.send(updateOf(counter, field))
    }
    return counter.version
  }

  /** Refuses every upgrade and every call like this, until it is told `null`. */
  refuse(refusal: Refusal | null): void {
    this.#refusal = refusal
  }

  /** Refuses every call of one path like this. */
  refusePath(path: string, refusal: Refusal): void {
    this.#refusals.set(path, refusal)
  }

  /** Ends every connection with a code, as an edge that restarts does. */
  close(code: number, reason?: string): void {
    for (const connection of this.open) connection.close(code, reason)
  }

  /** Cuts every connection; new ones are welcome. */
  cut(): void {
    for (const connection of this.open) connection.cut()
  }

  /** Goes away: connections are cut, new ones find nobody. The counts stay. */
  async down(): Promise<void> {
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()))
    this.cut()
    this.#server.closeAllConnections()
    await closed
  }

  /** Comes (back), on the same port. */
  async up(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(this.#port, '127.0.0.1', () => {
        this.#server.off('error', reject)
        resolve()
      })
    })
    this.#port = (this.#server.address() as AddressInfo).port
  }

  /** Ends it for good; no harm when it is down. */
  async stop(): Promise<void> {
    if (this.#server.listening) await this.down()
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.upgrades += 1
    socket.on('error', () => socket.destroy())
    const url = new URL(request.url ?? '/', this.httpUrl)
    const token = tokenOf(request, url)
    const ours = /^\/analytics\/?$/.test(url.pathname)
    const granted = ours ? (this.#refusal ?? this.#judge(token)) : NOT_FOUND
    if ('status' in granted) {
      const body = JSON.stringify(bodyOf(granted))
      const later = granted.retryAfter === undefined ? '' : `Retry-After: ${granted.retryAfter}\r\n`
      socket.once('finish', () => socket.destroy())
      socket.end(
        `HTTP/1.1 ${granted.status} Refused\r\nContent-Type: application/json\r\n` +
          `${later}Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
      )
      return
    }
    this.#sockets.handleUpgrade(request, socket, head, accepted => {
      this.connections.push(new FakeConnection(accepted, this.#counters, this.#judge, token, granted, this.#maxIds))
    })
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const reply = (status: number, body: object, headers: Record<string, string> = {}) => {
      response.writeHead(status, { ...CORS, 'content-type': 'application/json', ...headers })
      response.end(JSON.stringify(body))
    }
    if (request.method === 'OPTIONS') {
      response.writeHead(204, CORS).end()
      return
    }
    const url = new URL(request.url ?? '/', this.httpUrl)
    const token = tokenOf(request, url)
    this.requests.push({ url: `${url.pathname}${url.search}`, token })
    const refusal = this.#refusals.get(url.pathname)
    if (refusal) return reply(refusal.status, bodyOf(refusal))
    if (url.pathname === '/api/analytics/performance-config') {
      return reply(200, JSON.parse(readFileSync(VECTORS, 'utf8')).configs.development)
    }
    const granted = this.#refusal ?? this.#judge(token)
    if ('status' in granted) {
      const later = granted.retryAfter
      return reply(granted.status, bodyOf(granted), later === undefined ? {} : { 'retry-after': String(later) })
    }
    if (url.pathname !== '/api/analytics/content') {
      return reply(404, bodyOf(NOT_FOUND))
    }
    const named = { ...optional(url, 'organizationId'), ...optional(url, 'clientId') }
    const scope: FakeScope = { ...granted, ...named }
    const listed = url.searchParams.getAll('ids').flatMap(ids => ids.split(','))
    const ids = [...new Set([...url.searchParams.getAll('id'), ...listed])]
    if (ids.length === 0) return reply(400, bodyOf({ status: 400, code: 'invalid_field', error: 'id must be given' }))
    if (ids.length > 100) return reply(400, bodyOf({ status: 400, code: 'too_many_ids' }))
    const content = ids.flatMap(id => this.#counters.content(id, scope))
    reply(200, { success: true, base: this.#counters.base, content })
  }
}

function optional(url: URL, name: 'organizationId' | 'clientId'): FakeScope {
  const value = url.searchParams.get(name)
  return value === null ? {} : { [name]: value }
}

function bodyOf({ code, error }: Refusal): object {
  return { success: false, error: error ?? `refused: ${code}`, code }
}

/** The token from the header, the subprotocol or the address, as the edge takes them. */
function tokenOf(request: IncomingMessage, url: URL): string | undefined {
  const protocols = request.headers['sec-websocket-protocol']?.split(',').map(protocol => protocol.trim())
  if (protocols?.[0] === 'bearer') return protocols[1]
  const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1]
  return bearer ?? url.searchParams.get('token') ?? undefined
}
