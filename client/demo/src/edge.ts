// Where the edge is. The rule: it is what served this page; only a page under development may name another.

export interface EdgeUrls {
  /** The WebSocket. */
  readonly socket: string
  /** What the HTTP calls begin with. */
  readonly api: string
}

/** The edge of a page; `other` names another one, as in `ws://localhost:3001`. */
export function edgeUrls(page: { readonly protocol: string; readonly host: string }, other: string | null): EdgeUrls {
  const named = other && URL.canParse(other) ? new URL(other) : null
  const secure = (named ?? page).protocol === (named ? 'wss:' : 'https:')
  const host = (named ?? page).host
  return {
    socket: `${secure ? 'wss' : 'ws'}://${host}/analytics`,
    api: `${secure ? 'https' : 'http'}://${host}/api/analytics`,
  }
}
