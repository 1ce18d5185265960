// The golden files of the edge are understood, whole; everything else is not, and nothing throws.

import { readdirSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseContent, parseMessage } from '../../src/wire'

const golden = new URL('../../../shared/golden/', import.meta.url)
const files = readdirSync(golden).filter(name => name.startsWith('server-'))

test.each(files)('%s', name => {
  const text = readFileSync(new URL(name, golden), 'utf8')
  expect(parseMessage(text)).toEqual(JSON.parse(text))
})

const update = { type: 'analytics_update', contentId: 'a', field: 'views', value: 1, version: 2, timestamp: 3 }

test.each<[string, unknown]>([
  ['no JSON', '{'],
  ['no object', '[]'],
  ['null', 'null'],
  ['no type', '{}'],
  ['an unknown type', '{"type":"toString"}'],
  ['a binary frame', new ArrayBuffer(2)],
  ...Object.keys(update).map((key): [string, unknown] => [
    `an update without ${key}`,
    JSON.stringify({ ...update, [key]: undefined }),
  ]),
  ['a negative value', JSON.stringify({ ...update, value: -1 })],
  ['a fraction', JSON.stringify({ ...update, value: 1.5 })],
  ['a version above 2^53', JSON.stringify({ ...update, version: 2 ** 53 })],
  ['an unknown field', JSON.stringify({ ...update, field: 'constructor' })],
  ['an organization that is no text', JSON.stringify({ ...update, organizationId: 7 })],
])('%s is nothing', (_, text) => {
  expect(parseMessage(text)).toBeNull()
})

test('anything at all is read without an exception', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), text => {
      parseMessage(text)
      parseContent(text)
    }),
  )
})

test('a content answer is taken as a whole or not at all', () => {
  const counter = { contentId: 'a', views: 1, likes: 0, shares: 0, comments: 0, version: 5, timestamp: 6 }
  expect(parseContent({ success: true, base: 4, content: [counter] })).not.toBeNull()
  expect(parseContent({ success: true, base: 4, content: [counter, { ...counter, likes: null }] })).toBeNull()
  expect(parseContent({ success: true, content: [counter] })).toBeNull()
  expect(parseContent('<!doctype html>')).toBeNull()
})
