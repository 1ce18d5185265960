// The edge's HTTP calls under the app's own address. The rule: the caller's token is passed on and none is added, so that
// nobody may do here what the edge would not allow.

import { analyticsRoute } from '@analytics-edge/client/server'

export const { GET, POST } = analyticsRoute()
