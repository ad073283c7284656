import { Cluster, Redis } from 'ioredis'
import { openRedis, type PresenceOptions, type RedisSettings } from '../../../connectors/redis/index.ts'
import type { LiveLog } from '../../../src/core/live-log.ts'
import type { Presence } from '../../../src/core/presence.ts'
import type { StateStore } from '../../../src/core/state.ts'

/** Deletes every key of one server or cluster that belongs to a prefix. */
export async function removeKeys({ url = '', cluster }: RedisSettings, prefix: string): Promise<void> {
  const client = cluster === undefined ? new Redis(url) : new Cluster([...cluster].map((text) => `redis://${text}`))
  try {
    if (client instanceof Cluster) await client.ping()
    for (const node of client instanceof Cluster ? client.nodes('master') : [client]) {
      for await (const keys of node.scanStream({ match: `{${prefix}:*`, count: 1000 })) {
        await Promise.all(keys.map((key: string) => client.del(key)))
      }
    }
    await client.del(`${prefix}:channels`)
    await client.del(`${prefix}:processes`)
  } finally {
    client.disconnect()
  }
}

/** The live log alone; closing it closes its connections. */
export function openLive(settings: RedisSettings): LiveLog {
  const redis = openRedis(settings)
  const { live } = redis
  return {
    append: live.append.bind(live),
    head: live.head.bind(live),
    read: live.read.bind(live),
    follow: live.follow.bind(live),
    channels: live.channels.bind(live),
    close: () => redis.close(),
  }
}

/** Presence alone; closing it closes its connections. */
export function openPresence(settings: RedisSettings, options: PresenceOptions = {}): Presence {
  const redis = openRedis(settings, { presence: options })
  const { presence } = redis
  return {
    join: presence.join.bind(presence),
    leave: presence.leave.bind(presence),
    members: presence.members.bind(presence),
    size: presence.size.bind(presence),
    watch: presence.watch.bind(presence),
    count: presence.count.bind(presence),
    subscriptions: presence.subscriptions.bind(presence),
    close: () => redis.close(),
  }
}

/** The store of state alone; closing it closes its connections. */
export function openState(settings: RedisSettings): StateStore {
  const redis = openRedis(settings)
  return { takeOver: (scope, committed) => redis.state.takeOver(scope, committed), close: () => redis.close() }
}
