// What both servers on Node.js do alike: they count in memory and speak the edge's protocol. The rule: whatever is sent is
// the text that the edge would send, of the same length, and is made once for all who get it.

const FIELDS = ['views', 'likes', 'shares', 'comments']
const PATH = '/api/analytics/trigger-update'

// As a store that is made now: versions begin above the seconds since 2020 times 2^22.
const base = (Math.floor(Date.now() / 1000) - 1_577_836_800) * 4_194_304
const counters = new Map()

/** The paths of the calls that are answered. */
export const paths = { socket: '/analytics', post: PATH, content: '/api/analytics/content' }

/** The greeting of a connection. */
export const connected = () =>
  JSON.stringify({ type: 'connected', clientId: crypto.randomUUID(), timestamp: Date.now(), base })

/** The ids that a message subscribes to, and what answers it; an error instead if it is no such message. */
export function subscription(text) {
  let message
  try {
    message = JSON.parse(text)
  } catch {
    return { ids: [], answers: [error('not JSON', 'invalid_json')] }
  }
  if (message?.type !== 'subscribe' || !Array.isArray(message.contentIds)) {
    return { ids: [], answers: [error('only `subscribe` is understood here', 'invalid_message')] }
  }
  const ids = [...new Set(message.contentIds.map(String))]
  const answers = [JSON.stringify({ type: 'subscribed', contentIds: ids, timestamp: Date.now() })]
  for (const id of ids) {
    const counter = counters.get(id)
    if (counter) for (const field of FIELDS) answers.push(updateText(id, field, counter))
  }
  return { ids, answers }
}

/** Counts what a body says: the status and the text that answer it, and what subscribers are told. */
export function count(body) {
  let call
  try {
    call = JSON.parse(body)
  } catch {
    return refusal('not JSON', 'invalid_json')
  }
  const updates = []
  const results = (call?.updates ?? [call]).map(update => increment(update, updates))
  if (!call?.updates) return { status: results[0].success ? '200 OK' : '400 Bad Request', text: JSON.stringify(results[0]), updates }
  return { status: '200 OK', text: JSON.stringify({ success: true, results }), updates }
}

/** What is counted of these ids. */
export function content(ids) {
  const counts = ids.map(id => ({ contentId: id, ...(counters.get(id) ?? fresh()) }))
  return JSON.stringify({ success: true, base, content: counts })
}

function increment(update, updates) {
  const { contentId, field, increment: by = 1 } = update ?? {}
  const valid = typeof contentId === 'string' && FIELDS.includes(field) && Number.isInteger(by) && by !== 0
  if (!valid) return { success: false, error: 'no valid update', code: 'invalid_field' }
  let counter = counters.get(contentId)
  if (!counter) counters.set(contentId, (counter = fresh()))
  const value = counter[field] + by
  if (value < 0 || value > Number.MAX_SAFE_INTEGER) {
    return { success: false, error: 'the count would leave its range', code: 'out_of_range' }
  }
  counter[field] = value
  counter.version += 1
  counter.timestamp = Date.now()
  updates.push({ id: contentId, text: updateText(contentId, field, counter) })
  return { success: true, contentId, field, value, version: counter.version, timestamp: counter.timestamp }
}

const fresh = () => ({ views: 0, likes: 0, shares: 0, comments: 0, version: base, timestamp: 0 })

const updateText = (id, field, counter) =>
  `{"type":"analytics_update","contentId":${JSON.stringify(id)},"field":"${field}","value":${counter[field]},` +
  `"timestamp":${counter.timestamp},"version":${counter.version}}`

const error = (text, code) => JSON.stringify({ type: 'error', error: text, code, timestamp: Date.now() })

const refusal = (text, code) => ({
  status: '400 Bad Request',
  text: JSON.stringify({ success: false, error: text, code }),
  updates: []
})
