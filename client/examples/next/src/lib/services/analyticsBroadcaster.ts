// Counting from the server, where an app expects it. The rule: nothing here but the name; imported on the server only.

export { analyticsBroadcaster } from '@analytics-edge/client/server'
