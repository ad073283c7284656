import type { Cluster } from './cluster.ts'
import type { InternalTopic } from './internal-topic.ts'
import type { KafkaSettings } from './settings.ts'
import type { TopicMetadata } from './topic-metadata.ts'

/** What those who write transactions share. */
export interface WriterParts {
  readonly settings: KafkaSettings
  /** Transactions and what they hold. */
  readonly cluster: Cluster
  readonly topics: TopicMetadata
  readonly state: InternalTopic
  readonly sequences: InternalTopic
  /** Creates the internal topics if they are not there. */
  readonly prepare: () => Promise<void>
}
