export { createApp, createEmbedderApp } from './app.ts'
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
