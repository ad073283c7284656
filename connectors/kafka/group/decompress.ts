import { Fatal } from '../../../src/core/errors.ts'
import type { Decompress } from './record-queue.ts'

/** Uses the codecs that are registered with kafkajs. */
export async function loadDecompress(): Promise<Decompress> {
  const { default: compression } = await import('kafkajs/src/protocol/message/compression/index.js')
  return async (codec, content) => {
    const find = compression.Codecs[codec]
    if (find) return find().decompress(content)
    throw new Fatal({
      code: 'unknown_codec',
      message: `records are compressed with codec ${codec}, which is not known`,
      hint: 'write them with gzip, snappy, lz4 or zstd',
    })
  }
}
