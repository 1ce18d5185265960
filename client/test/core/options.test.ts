// Options that are wrong are the client's error, in words that name them.

import { expect, test } from 'vitest'
import { testClient } from '../support/client'
import { until } from '../support/until'

test.each([
  [{ url: 'edge.example.com' }, 'url must be'],
  [{ url: '' }, 'url must be'],
  [{ url: 'ws://localhost/analytics', interval: 5 }, 'interval must be'],
  [{ url: 'ws://localhost/analytics', releaseDelay: Number.NaN }, 'releaseDelay must be'],
  [{ url: 'ws://localhost/analytics', WebSocket: 7 as never }, 'WebSocket must be'],
])('options that are wrong are an error that names them: %j', async (options, text) => {
  const client = testClient(options)
  client.watch(['a'])
  await until(() => client.getSnapshot().status === 'failed', 'the error')
  expect(client.getSnapshot().error).toMatchObject({ code: 'configuration' })
  expect(client.getSnapshot().error?.message).toContain(text)
})
