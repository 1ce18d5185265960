'use client'

export { useAnalyticsConnection, useRealTimeAnalytics } from '@analytics-edge/client/react'
