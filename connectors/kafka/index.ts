export { type KafkaLogOptions, openKafkaLog } from './log.ts'
export type { KafkaSettings } from './settings.ts'
