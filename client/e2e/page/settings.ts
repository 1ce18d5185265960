// What a test asks of the page. The rule: it travels in the address as JSON, so that the page is the same for every test.

export interface Settings {
  /** The edge's WebSocket. */
  url: string
  pollUrl?: string[]
  ids: string[]
  organizationId?: string
  clientId?: string
  interval?: number
  releaseDelay?: number
  /** How many components use the hook; 1 by default. */
  hooks?: number
  /** Under `<StrictMode>`. */
  strict?: boolean
  /** Tokens come from the test's `mintToken`. */
  token?: boolean
}

export const toSearch = (settings: Settings): string => `?settings=${encodeURIComponent(JSON.stringify(settings))}`

export function fromSearch(search: string): Settings {
  const text = new URLSearchParams(search).get('settings')
  if (text === null) throw new Error('the address has no settings')
  return JSON.parse(text) as Settings
}
