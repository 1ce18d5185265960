// What the hooks look like to a caller's compiler. The rule: `tsc` judges this file; running it only shows that it loads.

import { expectTypeOf, it } from 'vitest'
import {
  type AnalyticsProvider,
  type ContentAnalytics,
  type RealTimeAnalyticsOptions,
  type Source,
  type Status,
  type Update,
  type useAnalyticsConnection,
  useRealTimeAnalytics,
} from '../../src/react'
import type { AnalyticsClient, AnalyticsError } from '../../src/types'

type Shown = ReturnType<typeof useRealTimeAnalytics>
type Given = Parameters<typeof useRealTimeAnalytics>[0]

it('useRealTimeAnalytics gives what it promises', () => {
  expectTypeOf<Shown['data'][string]>().toEqualTypeOf<ContentAnalytics>()
  expectTypeOf<Shown['status']>().toEqualTypeOf<Status>()
  expectTypeOf<Shown['source']>().toEqualTypeOf<Source | null>()
  expectTypeOf<Shown['isLive' | 'isStale']>().toEqualTypeOf<boolean>()
  expectTypeOf<Shown['lastUpdatedAt']>().toEqualTypeOf<number | null>()
  expectTypeOf<Shown['error']>().toEqualTypeOf<AnalyticsError | null>()
  expectTypeOf<Shown['refetch']>().toEqualTypeOf<() => Promise<void>>()
  expectTypeOf<Shown['reconnect']>().toEqualTypeOf<() => void>()
})

it('an unknown content is a case that the compiler knows', () => {
  const views = (shown: Shown) => shown.data['article-1']?.views
  expectTypeOf<ReturnType<typeof views>>().toEqualTypeOf<number | undefined>()
})

it('useRealTimeAnalytics takes constant arrays, every form of types, and options that may be undefined', () => {
  const ids = ['a', 'b'] as const
  expectTypeOf<{ contentIds: typeof ids }>().toExtend<Given>()
  expectTypeOf<{ contentIds: string[]; contentTypes: 'article' }>().toExtend<Given>()
  expectTypeOf<{ contentIds: string[]; contentTypes: (string | undefined)[] }>().toExtend<Given>()
  expectTypeOf<{ contentIds: string[]; contentTypes: { a: 'article' } }>().toExtend<Given>()
  expectTypeOf<{ contentIds: string[]; organizationId: string | undefined; enabled: undefined }>().toExtend<Given>()
  expectTypeOf<Required<RealTimeAnalyticsOptions>['onUpdate']>().parameter(0).toEqualTypeOf<Update>()
  // @ts-expect-error: what is watched must be said
  const nothing: Given = {}
  // @ts-expect-error: a list of ids, not one
  const one: Given = { contentIds: 'a' }
  expectTypeOf(nothing).toEqualTypeOf(one)
  expectTypeOf(useRealTimeAnalytics).parameters.toEqualTypeOf<[RealTimeAnalyticsOptions]>()
})

it('the provider and the connection', () => {
  expectTypeOf<Parameters<typeof AnalyticsProvider>[0]['client']>().toEqualTypeOf<AnalyticsClient>()
  expectTypeOf<ReturnType<typeof useAnalyticsConnection>>().toEqualTypeOf<{ status: Status; reconnect(): void }>()
})
