import type { StateStore } from '../../src/core/state.ts'
import type { Cluster } from './cluster.ts'
import type { KafkaSettings, Warn } from './settings.ts'
import type { TopicMetadata } from './topic-metadata.ts'

/** What the parts of one open log share. */
export interface KafkaParts {
  readonly settings: KafkaSettings
  /** Metadata, offsets, commits and administration. Nothing that waits long may go over it. */
  readonly control: Cluster
  readonly topics: TopicMetadata
  /** Where the state of lanes is kept. */
  readonly stateStore: StateStore
  /** Fires when the log is closed. */
  readonly closed: AbortSignal
  readonly warn: Warn
}
