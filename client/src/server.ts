// Entry point `./server`, for Node and for Next's server side. The rule: nothing here runs before it is called, and
// nothing here is needed in a browser.

export type { BatchAnswer, ContentAnswer, CounterAnswer, StatusAnswer, TriggerAnswer } from './http.gen'
export {
  analyticsBroadcaster,
  type Broadcaster,
  type BroadcasterOptions,
  createBroadcaster,
  type TriggerOptions,
  type UpdateInput,
} from './server/broadcaster'
export type { CallOptions } from './server/config'
export { type BroadcastCode, BroadcastError } from './server/error'
export { analyticsRoute, type RouteHandlers, type RouteOptions } from './server/route'
export type { Code, Field, Logger } from './types'
export type { ErrorBody } from './wire.gen'
