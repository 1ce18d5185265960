// What a content's query looks like to a caller's compiler. The rule: `tsc` judges this file; running it only shows that it
// loads.

import type { QueryClient } from '@tanstack/react-query'
import { useQueries, useQuery, useSuspenseQuery } from '@tanstack/react-query'
import { expectTypeOf, it } from 'vitest'
import { type AnalyticsQuery, analyticsQueryKey, type bindQueryClient } from '../../src/query'
import type { AnalyticsClient, ContentAnalytics } from '../../src/types'

it('fits everything that takes options', () => {
  const observe = (query: AnalyticsQuery) => ({
    one: useQuery(query),
    views: useQuery({ ...query, select: content => content.views }),
    sure: useSuspenseQuery(query),
    many: useQueries({ queries: [query, query] }),
  })
  type Observed = ReturnType<typeof observe>
  expectTypeOf<Observed['one']['data']>().toEqualTypeOf<ContentAnalytics | undefined>()
  expectTypeOf<Observed['views']['data']>().toEqualTypeOf<number | undefined>()
  expectTypeOf<Observed['sure']['data']>().toEqualTypeOf<ContentAnalytics>()
  expectTypeOf<Observed['many'][0]['data']>().toEqualTypeOf<ContentAnalytics | undefined>()

  const fetch = (queryClient: QueryClient, query: AnalyticsQuery) => ({
    fetched: queryClient.fetchQuery(query),
    prefetched: queryClient.prefetchQuery(query),
    ensured: queryClient.ensureQueryData(query),
  })
  expectTypeOf<ReturnType<typeof fetch>['fetched']>().resolves.toEqualTypeOf<ContentAnalytics>()
  expectTypeOf<ReturnType<typeof fetch>['ensured']>().resolves.toEqualTypeOf<ContentAnalytics>()
})

it('has a key that knows what it is the key of', () => {
  const get = (queryClient: QueryClient) => queryClient.getQueryData(analyticsQueryKey('a'))
  expectTypeOf<ReturnType<typeof get>>().toEqualTypeOf<ContentAnalytics | undefined>()
})

it('is bound by the client of the application', () => {
  expectTypeOf<Parameters<typeof bindQueryClient>[0]>().toEqualTypeOf<AnalyticsClient>()
  expectTypeOf<Parameters<typeof bindQueryClient>[1]>().toEqualTypeOf<QueryClient>()
  expectTypeOf<ReturnType<typeof bindQueryClient>>().toEqualTypeOf<() => void>()
})
