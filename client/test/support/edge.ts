// The edge under test, as a process. The rule: it owns its process and its data directory, and neither outlives it.

import { type ChildProcess, spawn } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** How long a start or an end may take: far beyond what a loaded machine needs. */
const LIMIT = 60_000

/** What is kept of the log, in lines. */
const LOG_LINES = 5_000

/** Whoever dials a port of the kernel's own range while nobody listens may be given that very port; so not those. */
const PORTS = { from: 12_000, to: 32_000 }

/** What {@link token} signs with, for `ANALYTICS_JWT_SECRET`. */
export const SECRET = 'a secret of the tests: forty-eight bytes, or so..'

/** The environment of a production edge whose tokens {@link token} signs. */
export const PRODUCTION = { ANALYTICS_MODE: 'production', ANALYTICS_JWT_SECRET: SECRET } as const

export interface EdgeOptions {
  /** Adds to, or overrides, development mode without simulation on free ports. */
  env?: Readonly<Record<string, string>>
}

export interface StopOptions {
  /** `SIGTERM` drains: connections are closed over `ANALYTICS_DRAIN_SECONDS`. `SIGINT`, the default, closes them at once. */
  signal?: 'SIGTERM' | 'SIGINT'
  /** Keeps the counts for a {@link Edge.restart}. */
  keepData?: boolean
}

/** A running edge. Its addresses stay the same over restarts, but for that of the metrics. */
export interface Edge {
  /** `http://127.0.0.1:<port>`, without a path. */
  readonly httpUrl: string
  /** `ws://127.0.0.1:<port>/analytics`. */
  readonly wsUrl: string
  /** `http://127.0.0.1:<port>` of `/metrics`. */
  readonly adminUrl: string
  /** What it wrote, over all its restarts, without colours. */
  readonly log: readonly string[]
  /** Ends it in order and drops its counts. */
  stop(options?: StopOptions): Promise<void>
  /** Ends it as a crash does (SIGKILL); its counts stay. */
  kill(): Promise<void>
  /** Starts it again on the same port, with the counts that are there; ends it first (SIGINT) if it runs. */
  restart(env?: Readonly<Record<string, string>>): Promise<void>
}

/** Starts an edge and returns once it listens. */
export async function startEdge(options: EdgeOptions = {}): Promise<Edge> {
  const program = binary()
  const log: string[] = []
  let env = { ...options.env }
  let data: string | undefined
  let child: ChildProcess | undefined
  let admin = ''
  const port = await freePort()

  const start = async () => {
    data ??= await mkdtemp(join(tmpdir(), 'analytics-edge-'))
    const started = spawn(program, { env: environment(port, data, env), stdio: ['ignore', 'ignore', 'pipe'] })
    child = started
    owned.set(started, data)
    admin = await listening(started, log)
  }

  const end = async (signal: NodeJS.Signals) => {
    if (child === undefined) return
    const ending = child
    child = undefined
    if (ending.exitCode === null && ending.signalCode === null) {
      const ended = once(ending, 'exit')
      ending.kill(signal)
      await within(`the edge to end after ${signal}`, ended, log)
    }
    owned.delete(ending)
  }

  const stop = async ({ signal = 'SIGINT', keepData = false }: StopOptions = {}) => {
    await end(signal)
    if (keepData || data === undefined) return
    await rm(data, { recursive: true, force: true })
    data = undefined
  }

  try {
    await start()
  } catch (error) {
    await stop({ signal: 'SIGINT' })
    throw error
  }
  return {
    httpUrl: `http://127.0.0.1:${port}`,
    wsUrl: `ws://127.0.0.1:${port}/analytics`,
    get adminUrl() {
      return `http://${admin}`
    },
    log,
    stop,
    kill: () => end('SIGKILL'),
    restart: async more => {
      await end('SIGINT')
      env = { ...env, ...more }
      await start()
    },
  }
}

/**
 * A token signed with {@link SECRET}, HS256: by default one that ends in an hour and may only watch what is public.
 * A claim that is `undefined` is left out.
 */
export function token(claims: Readonly<Record<string, unknown>> = {}): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const exp = Math.floor(Date.now() / 1_000) + 3_600
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ exp, ...claims })}`
  return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`
}

/** The processes that run, with their data directories: a test run that ends leaves none behind. */
const owned = new Map<ChildProcess, string>()

process.on('exit', () => {
  for (const [child, data] of owned) {
    child.kill('SIGKILL')
    rmSync(data, { recursive: true, force: true })
  }
})

function binary(): string {
  const built = fileURLToPath(new URL('../../../target/debug/analytics-proxy', import.meta.url))
  const path = resolve(process.env.ANALYTICS_PROXY_BIN || built)
  if (existsSync(path)) return path
  throw new Error(
    `no edge at ${path}: build it with "cargo build --locked -p analytics-proxy", or name it with ANALYTICS_PROXY_BIN`,
  )
}

/** Variables of the caller's shell that are meant for an edge do not reach this one. */
function environment(port: number, data: string, env: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('ANALYTICS_'))
  return {
    ...Object.fromEntries(inherited),
    ANALYTICS_MODE: 'development',
    ANALYTICS_WS_PORT: String(port),
    ANALYTICS_ADMIN_ADDR: '127.0.0.1:0',
    ANALYTICS_SIMULATE: 'false',
    ANALYTICS_DATA_DIR: data,
    RUST_LOG: 'info',
    ...env,
  }
}

/** Collects what the process writes; resolves with the metrics' address once it says that it listens. */
function listening(child: ChildProcess, log: string[]): Promise<string> {
  const said = new Promise<string>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => reject(new Error(`the edge ended (${code ?? signal}) instead of listening`)))
    if (child.stderr === null) return
    createInterface(child.stderr).on('line', line => {
      const plain = withoutColours(line)
      log.push(plain)
      if (log.length > LOG_LINES) log.shift()
      // Human-readable in development (`admin=…`), JSON in production (`"admin":"…"`).
      const admin = plain.includes('listening') && /\badmin(?:=|":")([\d.:[\]a-f]+)/.exec(plain)?.[1]
      if (admin) resolve(admin)
    })
  })
  return within('the edge to listen', said, log)
}

function withoutColours(line: string): string {
  const [first = '', ...coloured] = line.split('\u001b[')
  return first + coloured.map(part => part.slice(part.indexOf('m') + 1)).join('')
}

async function within<T>(what: string, promise: Promise<T>, log: readonly string[]): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${LIMIT} ms in vain for ${what}`)), LIMIT)
  })
  try {
    return await Promise.race([promise, late])
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(`${reason}; its last lines:\n${log.slice(-40).join('\n')}`, { cause: error })
  } finally {
    clearTimeout(timer)
  }
}

/** A port that was free just now and that no outgoing connection is given. */
async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const port = PORTS.from + Math.floor(Math.random() * (PORTS.to - PORTS.from))
    const server = createServer()
    const free = await new Promise<boolean>(resolve => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
    })
    if (free) return port
  }
  throw new Error('found no free port')
}
