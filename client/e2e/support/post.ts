// Counting from the server's side. The rule: what the edge does not acknowledge fails the test.

export interface Increment {
  contentId: string
  field?: 'views' | 'likes' | 'shares' | 'comments'
  increment?: number
  organizationId?: string
  clientId?: string
}

/** One call; returns the count after it. */
export async function post(httpUrl: string, increment: Increment, token?: string): Promise<number> {
  const { value } = await call(httpUrl, { field: 'views', ...increment }, token)
  if (typeof value !== 'number') throw new Error('the answer has no value')
  return value
}

/** Up to 100 increments in one call. */
export async function postAll(httpUrl: string, increments: Increment[]): Promise<void> {
  await call(httpUrl, { updates: increments.map(increment => ({ field: 'views', ...increment })) })
}

/** How many sockets the edge counts. */
export async function connectedClients(httpUrl: string): Promise<number> {
  const response = await fetch(`${httpUrl}/api/analytics/trigger-update`)
  const { status } = (await response.json()) as { status: { connectedClients: number } }
  return status.connectedClients
}

async function call(httpUrl: string, body: unknown, token?: string): Promise<{ value?: unknown }> {
  const response = await fetch(`${httpUrl}/api/analytics/trigger-update`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token !== undefined && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify(body),
  })
  if (!response.ok) throw new Error(`the edge answered ${response.status}: ${await response.text()}`)
  return (await response.json()) as { value?: unknown }
}
