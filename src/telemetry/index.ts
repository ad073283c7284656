export { LatencyWindow } from './latency.ts'
export { createLog, type Log, type LogFields, type LogLevel, type LogOptions, silentLog } from './log.ts'
export { createMetrics, type Metrics } from './metrics.ts'
export { RateMeter } from './rate.ts'
