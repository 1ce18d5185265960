// Words and figures. The rule tested: each state has a name of its own, and a figure reads as people write it.

import { describe, expect, it } from 'vitest'
import { type ConnectionState, connectionWords } from '../../demo/src/connectionWords'
import { edgeUrls } from '../../demo/src/edge'
import { createFormat } from '../../demo/src/format'

describe('connectionWords', () => {
  const live: ConnectionState = {
    status: 'live',
    source: 'socket',
    error: null,
    enabled: true,
    watched: 2,
    simulate: false,
  }
  const titleOf = (part: Partial<ConnectionState>) => connectionWords({ ...live, ...part }).title

  it('names every status', () => {
    const statuses = ['connecting', 'live', 'polling', 'reconnecting', 'failed', 'idle'] as const
    const titles = statuses.map(status => titleOf({ status }))
    expect(titles).toEqual(['Connecting', 'Live', 'Polling', 'Reconnecting', 'Failed', 'Idle'])
  })

  it('never calls live what is paused, made up, or not watched', () => {
    expect(titleOf({ enabled: false })).toBe('Paused')
    expect(titleOf({ simulate: true })).toBe('Simulated')
    expect(titleOf({ source: 'simulated', status: 'reconnecting' })).toBe('Simulated')
    expect(titleOf({ watched: 0, enabled: false })).toBe('Idle')
  })

  it('says why it failed', () => {
    expect(connectionWords({ ...live, status: 'failed', error: 'the token has ended' }).detail).toBe(
      'the token has ended',
    )
  })
})

describe('edgeUrls', () => {
  it('is where the page came from, with or without TLS', () => {
    expect(edgeUrls({ protocol: 'http:', host: 'localhost:3101' }, null)).toEqual({
      socket: 'ws://localhost:3101/analytics',
      api: 'http://localhost:3101/api/analytics',
    })
    expect(edgeUrls({ protocol: 'https:', host: 'edge.example' }, null)).toEqual({
      socket: 'wss://edge.example/analytics',
      api: 'https://edge.example/api/analytics',
    })
  })

  it('is another one where that is named, and not where it is no address', () => {
    const page = { protocol: 'http:', host: 'localhost:5173' }
    expect(edgeUrls(page, 'ws://localhost:3001').api).toBe('http://localhost:3001/api/analytics')
    expect(edgeUrls(page, 'wss://edge.example').socket).toBe('wss://edge.example/analytics')
    expect(edgeUrls(page, 'nonsense').socket).toBe('ws://localhost:5173/analytics')
  })
})

describe('format', () => {
  const format = createFormat('en')

  it('writes counts in full until they would not fit', () => {
    expect(format.count(1_234_567)).toBe('1,234,567')
    expect(format.count(12_345_678)).toBe('12.35M')
    expect(format.exact(Number.MAX_SAFE_INTEGER)).toBe('9,007,199,254,740,991')
    expect(createFormat('de').count(1_234)).toBe('1.234')
  })

  it('writes changes with their sign', () => {
    expect([12, 0, -3, 2_500_000].map(format.change)).toEqual(['+12', '0', '-3', '+2.5M'])
  })

  it('writes times in the unit that suits them', () => {
    expect([0, 12.4, 1_250].map(format.lag)).toEqual(['0 ms', '12 ms', '1.3 s'])
    const times = [-5, 999, 3_000, 60_000, 7_200_000, 172_800_000]
    expect(times.map(format.ago)).toEqual(['just now', 'just now', '3 s ago', '1 min ago', '2 h ago', '2 days ago'])
  })

  it('writes rates and scores with what decides', () => {
    expect([0, 0.25, 9.96, 1_234.5].map(format.rate)).toEqual(['0', '0.3', '10', '1,235'])
    expect(format.score(66.67)).toBe('66.7')
  })
})
