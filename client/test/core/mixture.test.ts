// Two edges of one store, each behind it in its own way, their sockets cut, their polls late: the client never goes back and
// ends at the newest values.

import fc from 'fast-check'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { createAnalyticsClient } from '../../src/client'
import type { Update } from '../../src/types'
import { FIELDS, type Field } from '../../src/wire.gen'
import { startFakeEdge } from '../support/fake-edge'
import { until } from '../support/until'

beforeEach(() => void vi.spyOn(Math, 'random').mockReturnValue(0))
afterEach(() => void vi.restoreAllMocks())

const ids = ['a', 'b']
const tenants = [{}, { organizationId: 'acme' }, { organizationId: 'acme', clientId: 'web' }]

type Action =
  | { do: 'count'; id: string; field: Field; tenant: number; by: number }
  | { do: 'catch-up' | 'cut' | 'poll'; edge: 0 | 1 }
  | { do: 'land' | 'turn' | 'rewatch' }

const edge = fc.constantFrom<0 | 1>(0, 1)
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('count' as const),
      id: fc.constantFrom(...ids),
      field: fc.constantFrom(...FIELDS),
      tenant: fc.nat(tenants.length - 1),
      by: fc.constantFrom(-1, 1, 5),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('catch-up' as const), edge }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cut' as const), edge }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('poll' as const), edge }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('land' as const, 'turn' as const, 'rewatch' as const) }) },
)

test('any mixture ends at the newest values', { timeout: 60_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 20, maxLength: 60 }), async actions => {
      const edges = [await startFakeEdge(), await startFakeEdge()]
      const log: Array<Extract<Action, { do: 'count' }>> = []
      const behind = [0, 0]
      const catchUp = (index: number, most = 1) => {
        for (const entry of log.slice(behind[index], (behind[index] ?? 0) + most)) {
          edges[index]?.count(entry.id, entry.field, entry.by, tenants[entry.tenant])
          behind[index] = (behind[index] ?? 0) + 1
        }
      }
      let next = 0
      class AnyEdge extends WebSocket {
        constructor(_: string, protocols?: string[]) {
          super(edges[next++ % 2]?.wsUrl ?? '', protocols)
        }
      }
      let pollAt = 0
      const late: Array<() => void> = []
      const slowFetch: typeof fetch = async input => {
        const { pathname, search } = new URL(String(input))
        const response = await fetch(`${edges[pollAt]?.httpUrl}${pathname}${search}`)
        await new Promise<void>(resolve => late.push(resolve))
        return response
      }
      const client = createAnalyticsClient({
        url: 'ws://edge/analytics',
        WebSocket: AnyEdge,
        fetch: slowFetch,
        logger: null,
        releaseDelay: 0,
      })
      const view = client.view({ organizationId: 'acme' })
      const told = new Map<string, number>()
      // Collected, and not thrown: nobody who calls a listener fails by what it throws.
      const steppedBack: Update[] = []
      view.onUpdate((update: Update) => {
        const key = JSON.stringify([update.contentId, update.organizationId, update.clientId, update.field])
        if (update.version <= (told.get(key) ?? 0)) steppedBack.push(update)
        told.set(key, update.version)
      })
      let release = view.watch(ids)
      const turn = () => new Promise<void>(resolve => setImmediate(resolve))
      for (const step of actions) {
        if (step.do === 'count') {
          // Counts do not go below zero.
          const same = log.filter(
            ({ id, field, tenant }) => id === step.id && field === step.field && tenant === step.tenant,
          )
          if (same.reduce((sum, { by }) => sum + by, step.by) >= 0) log.push(step)
        } else if (step.do === 'catch-up') catchUp(step.edge)
        else if (step.do === 'cut') edges[step.edge]?.cut()
        else if (step.do === 'poll') {
          pollAt = step.edge
          void view.refetch().catch(() => {})
        } else if (step.do === 'land') late.shift()?.()
        else if (step.do === 'turn') for (let i = 0; i < 5; i++) await turn()
        else {
          const leave = release
          release = view.watch([...ids].reverse())
          leave()
        }
      }
      // Both edges reach the end of the store's history; what was late lands after that.
      catchUp(0, log.length)
      catchUp(1, log.length)
      for (const land of late.splice(0)) land()
      for (const id of ids) {
        for (const field of FIELDS) {
          const total = log.reduce((sum, entry) => sum + (entry.id === id && entry.field === field ? entry.by : 0), 0)
          await until(() => {
            for (const land of late.splice(0)) land()
            return (view.read(id)?.[field] ?? 0) === total
          }, `${field} of ${id} to be ${total}`)
        }
      }
      client.close()
      await Promise.all(edges.map(edge => edge.stop()))
      expect(steppedBack).toEqual([])
    }),
    { numRuns: 25 },
  )
})
