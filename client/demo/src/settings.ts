// What the controls say, as the page's address holds it. The rule: an address that was shared shows the same to whoever
// opens it; what it does not say, or says wrongly, is the default.

import { type Field, isField } from './fields'

export interface Settings {
  readonly ids: readonly string[]
  /** Empty: none. */
  readonly organizationId: string
  readonly clientId: string
  /** The content type that scores follow; empty: the default weights. */
  readonly type: string
  /** How often to poll, or to make something up, in milliseconds. */
  readonly interval: number
  readonly enabled: boolean
  readonly simulate: boolean
  /** What the chart shows. */
  readonly metric: Field
}

export const INTERVALS: readonly number[] = [1_000, 2_000, 5_000, 10_000, 30_000]

export const DEFAULTS: Settings = {
  ids: ['/', 'article-1'],
  organizationId: '',
  clientId: '',
  type: '',
  interval: 2_000,
  enabled: true,
  simulate: false,
  metric: 'views',
}

/** More than this are not overlooked by anybody. */
export const MOST_IDS = 50
/** What the edge takes, in bytes of UTF-8. */
const LONGEST_ID = 256
const CONTROL = /\p{Cc}/u

/** The settings of a query string. */
export function readSettings(search: string): Settings {
  const params = new URLSearchParams(search)
  const text = (name: string) => (badId(params.get(name) ?? '') ? '' : (params.get(name) ?? ''))
  const interval = Number(params.get('interval'))
  const metric = params.get('metric')
  const organizationId = text('organizationId')
  return {
    ids: params.has('id') ? usableIds(params.getAll('id')) : DEFAULTS.ids,
    organizationId,
    clientId: organizationId ? text('clientId') : '',
    type: text('type'),
    interval: INTERVALS.includes(interval) ? interval : DEFAULTS.interval,
    enabled: params.get('enabled') !== 'false',
    simulate: params.get('simulate') === 'true',
    metric: isField(metric) ? metric : DEFAULTS.metric,
  }
}

/** The query string of settings, with what else an earlier one said. */
export function writeSettings(settings: Settings, search: string): string {
  const params = new URLSearchParams(search)
  const set = (name: string, value: string, standard: string) => {
    if (value === standard) params.delete(name)
    else params.set(name, value)
  }
  params.delete('id')
  if (settings.ids.join('\n') !== DEFAULTS.ids.join('\n')) {
    for (const id of settings.ids.length ? settings.ids : ['']) params.append('id', id)
  }
  set('organizationId', settings.organizationId, DEFAULTS.organizationId)
  set('clientId', settings.clientId, DEFAULTS.clientId)
  set('type', settings.type, DEFAULTS.type)
  set('interval', String(settings.interval), String(DEFAULTS.interval))
  set('enabled', String(settings.enabled), String(DEFAULTS.enabled))
  set('simulate', String(settings.simulate), String(DEFAULTS.simulate))
  set('metric', settings.metric, DEFAULTS.metric)
  return params.size ? `?${params}` : ''
}

/** The ids of a text with one a line, or what is wrong with it. Spaces are part of an id, as for the edge. */
export function parseIds(text: string): { ids: readonly string[]; problem: null } | { ids: null; problem: string } {
  const ids = [...new Set(text.split(/\r?\n/).filter(line => line.trim()))]
  const problem = ids.map(badId).find(Boolean)
  if (problem) return { ids: null, problem }
  if (ids.length > MOST_IDS) return { ids: null, problem: `This page shows at most ${MOST_IDS} contents at once.` }
  return { ids, problem: null }
}

/** What is wrong with an organization and a client, `null` if nothing is. */
export function badScope(organizationId: string, clientId: string): string | null {
  if (clientId && !organizationId) return 'A client is one of an organization: name that, too.'
  return badId(organizationId) ?? badId(clientId)
}

function usableIds(ids: readonly string[]): readonly string[] {
  return [...new Set(ids)].filter(id => id && !badId(id)).slice(0, MOST_IDS)
}

function badId(id: string): string | null {
  if (CONTROL.test(id)) return `“${id.replace(/\p{Cc}/gu, '␣')}” has a control character in it.`
  if (new TextEncoder().encode(id).length > LONGEST_ID)
    return `“${id.slice(0, 20)}…” has more than ${LONGEST_ID} bytes.`
  return null
}
