// React at its most concurrent. The rule: no render sees two states, a server's markup is hydrated as it is, and what React
// hides or puts aside does not open a second socket.

import { render } from '@testing-library/react'
import * as React from 'react'
import { type ReactNode, StrictMode, Suspense, startTransition, useLayoutEffect, useState } from 'react'
import { version } from 'react-dom'
import { hydrateRoot } from 'react-dom/client'
import { renderToString } from 'react-dom/server'
import { expect, it, vi } from 'vitest'
import { AnalyticsProvider, useRealTimeAnalytics } from '../../src/react'
import { aClient, anEdge, atEnd, letGo, providing, until } from '../support/hooks'

function Views({ id }: { id: string }) {
  const { data, status } = useRealTimeAnalytics({ contentIds: [id] })
  return <p>{`${status} ${data[id]?.views ?? '-'}`}</p>
}

it('is the React that this run is about', ({ task }) => {
  const [major] = React.version.split('.')
  expect(`react-${major}`).toBe(task.file.projectName)
  expect(version).toBe(React.version)
})

it('hydrates what a server rendered, though the client knows more by then', async () => {
  const edge = await anEdge()
  edge.count('a', 'views', 3)
  const client = aClient(edge)
  const page = (
    <StrictMode>
      <AnalyticsProvider client={client}>
        <Views id="a" />
      </AnalyticsProvider>
    </StrictMode>
  )
  const container = document.createElement('div')
  container.innerHTML = renderToString(page)
  expect(container.textContent).toBe('idle -')
  atEnd(client.watch(['a']))
  await until(() => client.view().read('a')?.views === 3)

  const complaints = vi.spyOn(console, 'error')
  const onRecoverableError = vi.fn()
  const root = hydrateRoot(container, page, { onRecoverableError })
  atEnd(() => root.unmount())
  await until(() => container.textContent === 'live 3')
  expect(onRecoverableError).not.toHaveBeenCalled()
  expect(complaints).not.toHaveBeenCalled()
  complaints.mockRestore()
  expect(edge.upgrades).toBe(1)
})

function Slow({ onRender }: { onRender: (views: string) => void }) {
  const { data } = useRealTimeAnalytics({ contentIds: ['a'] })
  const end = performance.now() + 2
  while (performance.now() < end);
  const views = String(data.a?.views)
  onRender(views)
  return <i>{views}</i>
}

interface ManySlowProps {
  onRender: (views: string) => void
  onCommit: (views: string[]) => void
}

/** Shows forty at a click, and takes its time for it. */
function ManySlow({ onRender, onCommit }: ManySlowProps) {
  const [many, setMany] = useState(0)
  useLayoutEffect(() => {
    onCommit([...document.querySelectorAll('i')].map(({ textContent }) => String(textContent)))
  })
  return (
    <>
      <button type="button" onClick={() => startTransition(() => setMany(40))}>
        show
      </button>
      {Array.from({ length: many }, (_, index) => index).map(key => (
        <Slow key={key} onRender={onRender} />
      ))}
    </>
  )
}

it('shows one state in all of a long render, though values come in the middle of it', async () => {
  const edge = await anEdge()
  edge.count('a', 'views')
  const client = aClient(edge)
  atEnd(client.watch(['a']))
  await until(() => client.view().read('a')?.views === 1)

  const rendered = new Set<string>()
  const commits: string[][] = []
  const page = <ManySlow onRender={views => void rendered.add(views)} onCommit={views => void commits.push(views)} />
  const { getByText } = render(page, { wrapper: providing(client) })
  const counting = setInterval(() => edge.count('a', 'views'), 3)
  getByText('show').click()
  await until(() => document.querySelectorAll('i').length === 40)
  clearInterval(counting)
  expect(rendered.size).toBeGreaterThan(1)
  for (const views of commits) expect(new Set(views).size).toBeLessThanOrEqual(1)
})

function Sleepy({ asleep }: { asleep: Promise<void> | null }) {
  if (asleep) throw asleep
  return null
}

it('keeps its socket while a part of the page is suspended and comes back', async () => {
  const edge = await anEdge()
  edge.count('a', 'views', 3)
  const page = (asleep: Promise<void> | null) => (
    <Suspense fallback="asleep">
      <Views id="a" />
      <Sleepy asleep={asleep} />
    </Suspense>
  )
  const client = aClient(edge)
  const { container, rerender } = render(page(null), { wrapper: providing(client) })
  await until(() => container.textContent === 'live 3')
  rerender(page(new Promise(() => {})))
  await until(() => container.textContent?.includes('asleep'))
  rerender(page(null))
  await until(() => container.textContent === 'live 3')
  expect(await letGo(client, edge)).toEqual([])
  expect(edge.upgrades).toBe(1)
  expect(edge.open[0]?.ids).toEqual(['a'])
})

/** React 19.2 and newer. */
const { Activity } = React as { Activity?: (props: { mode: 'visible' | 'hidden'; children: ReactNode }) => ReactNode }

it.skipIf(!Activity)('lets go of what is hidden, and takes it up again', async () => {
  const edge = await anEdge()
  edge.count('a', 'views', 3)
  const page = (mode: 'visible' | 'hidden') =>
    Activity && (
      <Activity mode={mode}>
        <Views id="a" />
      </Activity>
    )
  const { container, rerender } = render(page('visible'), { wrapper: providing(aClient(edge)) })
  await until(() => container.textContent === 'live 3')
  rerender(page('hidden'))
  await until(() => edge.open.length === 0)
  edge.count('a', 'views')
  rerender(page('visible'))
  await until(() => container.textContent === 'live 4')
  expect(edge.upgrades).toBe(2)
})
