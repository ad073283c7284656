export { createApp, createEmbedderApp, createGatewayApp, createProcessorApp } from './app.ts'
export { type AuditTrail, createAuditTrail } from './audit-trail.ts'
export {
  type BaseContext,
  defaultServerLimits,
  type Readiness,
  type ServerContext,
  type ServerLimits,
} from './context.ts'
export { type Listening, type ListenOptions, listen } from './listen.ts'
export { createLive } from './live-service.ts'
export { folderFiles } from './static-files.ts'
