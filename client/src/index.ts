// The entry point without React.

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
