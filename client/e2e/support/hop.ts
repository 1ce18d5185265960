// A TCP hop between the browser and an edge. The rule: it forwards every byte, or it is cut (what is open ends, what comes is
// refused), or what is open freezes: bytes are taken, none arrives, and nobody is told.

import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface Hop {
  /** Where it listens: `127.0.0.1:<port>`. */
  host: string
  /** Ends every connection and takes none. */
  cut(): void
  /** Connections that are open fall silent; new ones are forwarded. */
  freeze(): void
  /** Takes new connections again. */
  heal(): void
  stop(): Promise<void>
}

/** Starts a hop to `host:port`. */
export async function startHop(to: string): Promise<Hop> {
  const target = new URL(`tcp://${to}`)
  const open = new Set<Socket>()
  let whole = true

  const server = createServer(near => {
    if (!whole) {
      near.destroy()
      return
    }
    const far = connect(Number(target.port), target.hostname)
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(one)
      one.setNoDelay(true)
      one.pipe(other)
      // A reset of one side is the other's end too; what went wrong shows at the ends.
      one.on('error', () => other.destroy())
      one.on('close', () => {
        open.delete(one)
        other.destroy()
      })
    }
  })
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })

  const cut = () => {
    whole = false
    for (const socket of open) socket.destroy()
  }
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    freeze() {
      for (const socket of open) {
        socket.unpipe()
        socket.on('data', () => {})
      }
    },
    heal() {
      whole = true
    },
    stop() {
      cut()
      return new Promise(resolve => server.close(() => resolve()))
    },
  }
}
