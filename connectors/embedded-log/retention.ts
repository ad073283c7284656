import type { TopicConfig } from '../../src/core/event-log.ts'
import { chunkHead } from './chunk.ts'
import type { PartitionKey, PartitionStore } from './partition-store.ts'

/** How many chunks one transaction removes, so that it holds up no append. */
const chunksPerStep = 32

/** Whether the partition's oldest chunk is to go. Cheap; needs no transaction. */
export function isOverdue(partitions: PartitionStore, key: PartitionKey, config: TopicConfig, now: number): boolean {
  return surplus(partitions, key, config, now, 1).length > 0
}

/**
 * Inside a transaction: removes the oldest chunks that are older than `retentionMs` or beyond `retentionBytes`, as many
 * as one transaction may, and moves the start of the partition. Age counts from the append, not from the records' own
 * timestamps: history that is loaded today stays. The newest chunk is never too large to be kept.
 */
export function trim(partitions: PartitionStore, key: PartitionKey, config: TopicConfig, now: number): void {
  const chunks = surplus(partitions, key, config, now, chunksPerStep)
  let { start, next, records, bytes, compacted } = partitions.head(key)
  for (const chunk of chunks) {
    partitions.removeChunk(key, chunk.base)
    start = chunk.base + chunk.span
    records -= chunk.count
    bytes -= chunk.bytes
  }
  partitions.setHead(key, { start, next, records, bytes, compacted: Math.max(compacted, start) })
}

interface Surplus {
  readonly base: number
  readonly span: number
  readonly count: number
  readonly bytes: number
}

function surplus(
  partitions: PartitionStore,
  key: PartitionKey,
  { retentionMs, retentionBytes }: TopicConfig,
  now: number,
  most: number,
): Surplus[] {
  const { next, bytes: total } = partitions.head(key)
  const chunks: Surplus[] = []
  if (retentionMs === 0 && (retentionBytes === 0 || total <= retentionBytes)) return chunks
  let left = total
  for (const { base, bytes } of partitions.chunksFrom(key, 0)) {
    const { count, span, appended } = chunkHead(bytes)
    const old = retentionMs > 0 && appended < now - retentionMs
    const beyond = retentionBytes > 0 && left > retentionBytes && base + span < next
    if (chunks.length === most || !(old || beyond)) break
    chunks.push({ base, span, count, bytes: bytes.length })
    left -= bytes.length
  }
  return chunks
}
