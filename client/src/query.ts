// The entry `./query`. The rule: TanStack Query stays the only cache of what it shows; the client only writes to it.

export { type BindOptions, bindQueryClient } from './query/bind'
export {
  type AnalyticsQuery,
  type AnalyticsQueryKey,
  type AnalyticsQueryOptions,
  analyticsQueryKey,
  analyticsQueryOptions,
} from './query/options'
