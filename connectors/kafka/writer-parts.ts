import { type Cluster, openCluster } from './cluster.ts'
import { InternalTopic, internalPartitions, internalTopics } from './internal-topic.ts'
import { PartitionReader } from './reader.ts'
import type { KafkaSettings, Warn } from './settings.ts'
import type { TopicAdmin } from './topic-admin.ts'
import { TopicMetadata } from './topic-metadata.ts'

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

const config = { partitions: internalPartitions, compact: true, retentionMs: 0, retentionBytes: 0 }
/** Segments are closed early, so that compaction, which leaves the last one alone, has something to do. */
const furtherConfig = {
  'segment.bytes': String(16 * 1024 * 1024),
  'segment.ms': String(60 * 60 * 1000),
  'min.cleanable.dirty.ratio': '0.2',
  'compression.type': 'producer',
}

/** Opens connections of their own for transactions. Errors as `openCluster`. */
export async function openWriterParts(settings: KafkaSettings, admin: TopicAdmin, warn: Warn): Promise<WriterParts> {
  const cluster = await openCluster(settings, 'transactions', { warn })
  const topics = new TopicMetadata(cluster)
  const reader = new PartitionReader(cluster, topics)
  return {
    settings,
    cluster,
    topics,
    state: new InternalTopic(internalTopics.state, reader),
    sequences: new InternalTopic(internalTopics.sequences, reader),
    prepare: async () => {
      await Promise.all(Object.values(internalTopics).map((name) => admin.ensure(name, config, furtherConfig)))
    },
  }
}
