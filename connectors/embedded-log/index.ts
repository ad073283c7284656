export { type LiveLogOptions, openEmbeddedLiveLog } from './live-log.ts'
export { type Lock, type LockInfo, lockData } from './lock.ts'
export { type EmbeddedLogOptions, openEmbeddedLog } from './log.ts'
