import type { LiveLog } from '../../src/core/live-log.ts'
import type { StateStore } from '../../src/core/state.ts'
import { Connection, type RedisSettings } from './connection.ts'
import { type LiveLogOptions, RedisLiveLog } from './live-log.ts'
import { createStateStore } from './state-store.ts'

export type { RedisSettings } from './connection.ts'
export type { LiveLogOptions } from './live-log.ts'

/** What Redis does for Millrace, through one set of connections. Closing a part leaves the connections to the others. */
export interface RedisServices {
  readonly live: LiveLog
  readonly state: StateStore
  close(): Promise<void>
}

/** Nothing is connected before it is needed, so a server that is down is met by the first use, as `Retryable`. */
export function openRedis(settings: RedisSettings, options: { readonly live?: LiveLogOptions } = {}): RedisServices {
  const connection = new Connection(settings)
  const live = new RedisLiveLog(connection, options.live)
  return {
    live,
    state: createStateStore(connection),
    async close() {
      await live.close()
      await connection.close()
    },
  }
}
