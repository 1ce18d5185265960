export { getPerformanceConfig, score, trending } from '@analytics-edge/client/performance'
