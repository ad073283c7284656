import { Redis } from 'ioredis'
import type { RedisSettings } from '../../../connectors/redis/index.ts'

/** Deletes every key of one server or cluster that belongs to a prefix. */
export async function removeKeys({ url = '' }: RedisSettings, prefix: string): Promise<void> {
  const client = new Redis(url)
  try {
    for await (const keys of client.scanStream({ match: `{${prefix}:*`, count: 1000 })) {
      if (keys.length > 0) await client.del(...keys)
    }
    await client.del(`${prefix}:channels`)
  } finally {
    client.disconnect()
  }
}
