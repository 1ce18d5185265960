export { analyticsBroadcaster } from '@analytics-edge/client/server'
