// Scores and trends, where an app expects them. The rule: nothing here but the names; the same on server and in browser.

export { getPerformanceConfig, score, trending } from '@analytics-edge/client/performance'
