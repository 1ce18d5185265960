// An HTTP hop between a caller and the edge that does harm as told. The rule: every request is recorded with what was
// done to it, and what nobody ordered is passed on unchanged.

import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, request, type ServerResponse } from 'node:http'

/**
 * What is done to one request.
 * - `pass`: nothing
 * - `drop`: the connection ends before the edge hears of it
 * - `cut`: the edge acts, then the connection ends without an answer
 * - `hold`: the edge acts, and its answer never comes
 * - an answer: given instead of the edge's; with `acts`, after the edge acted
 */
export type Fault = 'pass' | 'drop' | 'cut' | 'hold' | Stand

/** An answer that is not the edge's own. */
export interface Stand {
  status: number
  headers?: Readonly<Record<string, string>>
  body?: string
  /** The edge hears of the request first; the answer is made of its body where it is a function. */
  acts?: boolean | ((body: string) => string)
}

/** A request as it came. */
export interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** By `performance.now()`. */
  readonly at: number
  readonly fault: Fault
}

export interface Hop {
  /** `http://127.0.0.1:<port>`. */
  readonly url: string
  readonly seen: readonly Seen[]
  /** Orders what is done to the next requests, in order; after that they pass. Forgets what was seen. */
  order(...faults: readonly Fault[]): void
  /** Asks for each request what is done to it. */
  decide(fault: () => Fault): void
  close(): Promise<void>
}

/** A hop on a free port before an address like `http://127.0.0.1:3001`. */
export async function startHop(target: string): Promise<Hop> {
  const seen: Seen[] = []
  let next: () => Fault = () => 'pass'

  const server = createServer(async (incoming, answer) => {
    const fault = next()
    try {
      const body = await text(incoming)
      const { method = '', url = '', headers } = incoming
      seen.push({ method, url, headers, body, at: performance.now(), fault })
      if (fault === 'drop') return void answer.destroy()
      if (typeof fault === 'object' && !fault.acts) return stand(answer, fault, fault.body ?? '')
      const reply = await ask(target, incoming, body)
      const replied = await text(reply)
      if (fault === 'cut') return void answer.destroy()
      if (fault === 'hold') return
      if (fault === 'pass') return void answer.writeHead(reply.statusCode ?? 500, reply.headers).end(replied)
      stand(answer, fault, typeof fault.acts === 'function' ? fault.acts(replied) : (fault.body ?? ''))
    } catch {
      // The edge is away, or the caller is: either way the caller gets no answer.
      answer.destroy()
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the hop has no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    seen,
    order: (...faults) => {
      seen.length = 0
      const left = [...faults]
      next = () => left.shift() ?? 'pass'
    },
    decide: fault => {
      seen.length = 0
      next = fault
    },
    close: async () => {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

function stand(answer: ServerResponse, { status, headers }: Stand, body: string): void {
  answer.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body)
}

async function ask(target: string, { method, url, headers }: IncomingMessage, body: string): Promise<IncomingMessage> {
  const asked = request(new URL(url ?? '/', target), {
    method,
    headers: { ...headers, host: new URL(target).host },
    agent: false,
  })
  asked.end(body)
  const [reply] = await once(asked, 'response')
  return reply
}

async function text(message: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of message) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}
