'use client'

// The entry `./react`. The rule: the core stays free of React, and this entry holds no state of its own.

export { AnalyticsProvider, type AnalyticsProviderProps } from './react/context'
export { type AnalyticsConnection, useAnalyticsConnection } from './react/use-analytics-connection'
export {
  type ContentTypes,
  type RealTimeAnalytics,
  type RealTimeAnalyticsOptions,
  useRealTimeAnalytics,
} from './react/use-real-time-analytics'
export type {
  AnalyticsClient,
  AnalyticsError,
  ContentAnalytics,
  CounterView,
  Field,
  Scope,
  Snapshot,
  Source,
  Status,
  Update,
} from './types'
