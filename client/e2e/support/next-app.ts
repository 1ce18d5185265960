// The Next.js example as a process. The rule: what runs is what `next build` made, with nothing of the caller's settings.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const APP = fileURLToPath(new URL('../../examples/next', import.meta.url))
const NEXT = `${APP}/node_modules/next/dist/bin/next`

export interface NextApp {
  /** `http://127.0.0.1:<port>`. */
  url: string
  stop(): Promise<void>
}

/** Builds the app; what begins with NEXT_PUBLIC_ is in it from then on. */
export async function buildNext(env: Record<string, string>): Promise<void> {
  if (!existsSync(NEXT)) {
    throw new Error('the example is not installed: run `npm ci` in client/examples/next, then this again')
  }
  const { child, said } = run(['build'], env)
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`next build ended with ${code}:\n${said()}`)
}

/** Starts what was built on a free port; returns once it listens. */
export async function startNext(env: Record<string, string>): Promise<NextApp> {
  const { child, said } = run(['start', '--port', '0', '--hostname', '127.0.0.1'], env)
  const port = await new Promise<string>((resolve, reject) => {
    child.stdout?.on('data', () => {
      const found = /http:\/\/127\.0\.0\.1:(\d+)/.exec(said())?.[1]
      if (found !== undefined) resolve(found)
    })
    child.once('exit', code => reject(new Error(`next start ended with ${code}:\n${said()}`)))
  })
  return {
    url: `http://127.0.0.1:${port}`,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      await ended
    },
  }
}

function run(args: string[], env: Record<string, string>): { child: ChildProcess; said: () => string } {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(ANALYTICS|NEXT|NODE_ENV)/.test(name))
  const child = spawn(process.execPath, [NEXT, ...args], {
    cwd: APP,
    env: { ...Object.fromEntries(inherited), NEXT_TELEMETRY_DISABLED: '1', NODE_ENV: 'production', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', part => {
      text += part
    })
  }
  return { child, said: () => text }
}
