export { type AnalyticsOptions, openAnalytics } from './analytics.ts'
export { clickhouse } from './sink.ts'
