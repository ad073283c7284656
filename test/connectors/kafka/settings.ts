import type { KafkaSettings } from '../../../connectors/kafka/index.ts'

/** As `millrace.yaml` gives them when it says nothing but where the brokers are. */
export function settingsOf(brokers: string | undefined, changes: Partial<KafkaSettings> = {}): KafkaSettings {
  return {
    brokers: [brokers ?? ''],
    clientId: 'test',
    ssl: false,
    sessionTimeout: 6000,
    linger: 0,
    compression: 'lz4',
    ...changes,
  }
}
