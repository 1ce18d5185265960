// The entry point without React. The rule: nothing but names; what they stand for is beside this file.

export { createAnalyticsClient } from './client'
export type {
  AnalyticsClient,
  AnalyticsError,
  AnalyticsView,
  ClientOptions,
  Code,
  ContentAnalytics,
  CounterView,
  Field,
  Logger,
  Scope,
  Snapshot,
  Source,
  Status,
  TokenContext,
  Update,
  WatchOptions,
} from './types'
