'use client'
// The hooks where an app expects them. The rule: nothing here but the name; what they do is the package's.

export { useAnalyticsConnection, useRealTimeAnalytics } from '@analytics-edge/client/react'
