import type { LiveLog } from '../../src/core/live-log.ts'
import type { Hashes } from '../../src/core/lookup.ts'
import type { Presence } from '../../src/core/presence.ts'
import type { StateStore } from '../../src/core/state.ts'
import type { VectorCache } from '../../src/core/vector-cache.ts'
import type { RedisSettings } from './client.ts'
import { Connection } from './connection.ts'
import { createHashes } from './hashes.ts'
import { type LiveLogOptions, RedisLiveLog } from './live-log.ts'
import { type PresenceOptions, RedisPresence } from './presence.ts'
import { createStateStore } from './state-store.ts'
import { RedisVectorCache, type VectorCacheOptions } from './vector-cache.ts'

export type { RedisSettings } from './client.ts'
export type { LiveLogOptions } from './live-log.ts'
export type { PresenceOptions } from './presence.ts'
export type { VectorCacheOptions } from './vector-cache.ts'

/** What Redis does for Millrace, through one set of connections. Closing a part leaves the connections to the others. */
export interface RedisServices {
  readonly live: LiveLog
  readonly presence: Presence
  readonly state: StateStore
  readonly vectors: VectorCache
  /** Reference data, under the names that others have given them: without the prefix. */
  readonly hashes: Hashes
  close(): Promise<void>
}

export interface RedisOptions {
  readonly live?: LiveLogOptions
  readonly presence?: PresenceOptions
  readonly vectors?: VectorCacheOptions
}

/** Nothing is connected before it is needed, so a server that is down is met by the first use, as `Retryable`. */
export function openRedis(settings: RedisSettings, options: RedisOptions = {}): RedisServices {
  const connection = new Connection(settings)
  const vectors = new RedisVectorCache(connection, options.vectors)
  const live = new RedisLiveLog(connection, options.live)
  const presence = new RedisPresence(connection, options.presence)
  return {
    live,
    presence,
    state: createStateStore(connection),
    vectors,
    hashes: createHashes(connection),
    async close() {
      await live.close()
      await presence.close()
      await vectors.close()
      await connection.close()
    },
  }
}
