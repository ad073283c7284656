const seed = 0x9747b28c
const m = 0x5bd1e995
const r = 24

/**
 * Murmur2 as in `org.apache.kafka.common.utils.Utils.murmur2`, which Kafka's default partitioner hashes keys with.
 * The answer is a signed 32-bit integer.
 */
export function murmur2(data: Uint8Array): number {
  const length = data.length
  const view = new DataView(data.buffer, data.byteOffset, length)
  let h = seed ^ length
  let at = 0
  for (; at + 4 <= length; at += 4) {
    let k = Math.imul(view.getInt32(at, true), m)
    k ^= k >>> r
    h = Math.imul(h, m) ^ Math.imul(k, m)
  }
  const rest = length - at
  if (rest === 3) h ^= (data[at + 2] ?? 0) << 16
  if (rest >= 2) h ^= (data[at + 1] ?? 0) << 8
  if (rest >= 1) h = Math.imul(h ^ (data[at] ?? 0), m)
  h ^= h >>> 13
  h = Math.imul(h, m)
  return h ^ (h >>> 15)
}

/** The partition of a key, the same as on Kafka: `toPositive(murmur2(key)) % partitions` (BuiltInPartitioner). */
export function partitionOf(key: Uint8Array, partitions: number): number {
  return partitions === 1 ? 0 : (murmur2(key) & 0x7fffffff) % partitions
}
