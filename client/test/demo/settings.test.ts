// The settings in the address. The rule tested: what is written is read back, and what is wrong is the default.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  badScope,
  DEFAULTS,
  INTERVALS,
  MOST_IDS,
  parseIds,
  readSettings,
  type Settings,
  writeSettings,
} from '../../demo/src/settings'

const id = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).filter(text => !/\p{Cc}/u.test(text))
const settings: fc.Arbitrary<Settings> = fc
  .record({
    ids: fc.uniqueArray(id, { maxLength: MOST_IDS }),
    organizationId: fc.oneof(fc.constant(''), id),
    clientId: fc.oneof(fc.constant(''), id),
    type: fc.constantFrom('', 'article', 'video'),
    interval: fc.constantFrom(...INTERVALS),
    enabled: fc.boolean(),
    simulate: fc.boolean(),
    metric: fc.constantFrom('views', 'likes', 'shares', 'comments'),
  })
  .map(made => ({ ...made, clientId: made.organizationId ? made.clientId : '' }))

describe('the address', () => {
  it('holds any settings', () => {
    fc.assert(
      fc.property(settings, made => {
        expect(readSettings(writeSettings(made, ''))).toEqual(made)
      }),
    )
  })

  it('is empty for the defaults, and keeps what is not its own', () => {
    expect(writeSettings(DEFAULTS, '')).toBe('')
    expect(writeSettings(DEFAULTS, '?edge=ws://localhost:1&metric=likes&id=b')).toBe('?edge=ws%3A%2F%2Flocalhost%3A1')
    expect(readSettings('')).toEqual(DEFAULTS)
  })

  it('tells "nothing" from "not said"', () => {
    expect(readSettings('?id=').ids).toEqual([])
    expect(readSettings(writeSettings({ ...DEFAULTS, ids: [] }, '')).ids).toEqual([])
  })

  it('is the default where it is wrong', () => {
    const wrong = `?interval=7&metric=dislikes&enabled=maybe&simulate=1&clientId=web&organizationId=${'x'.repeat(257)}`
    expect(readSettings(wrong)).toEqual(DEFAULTS)
    expect(readSettings(`?id=a&id=a&id=b%00c&id=${'é'.repeat(129)}&id=d`).ids).toEqual(['a', 'd'])
    expect(readSettings(`?${Array.from({ length: 80 }, (_, n) => `id=${n}`).join('&')}`).ids).toHaveLength(MOST_IDS)
  })
})

describe('what is typed', () => {
  it('is one id a line; blank lines and repeats are left out, spaces are kept', () => {
    expect(parseIds('a\r\n\n b \na\n').ids).toEqual(['a', ' b '])
    expect(parseIds('').ids).toEqual([])
  })

  it('is refused with a sentence', () => {
    expect(parseIds('fine\nnot\tfine').problem).toMatch(/control character/)
    expect(parseIds('x'.repeat(257)).problem).toMatch(/256 bytes/)
    expect(parseIds(Array.from({ length: MOST_IDS + 1 }, (_, n) => `${n}`).join('\n')).problem).toMatch(/at most 50/)
    expect(badScope('', 'web')).toMatch(/organization/)
    expect(badScope('acme', 'web')).toBeNull()
    expect(badScope('', '')).toBeNull()
    expect(badScope('acme', 'x'.repeat(257))).toMatch(/256 bytes/)
  })
})
