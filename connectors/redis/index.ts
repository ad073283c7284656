import type { StateStore } from '../../src/core/state.ts'
import { Connection, type RedisSettings } from './connection.ts'
import { createStateStore } from './state-store.ts'

export type { RedisSettings } from './connection.ts'

/** What Redis does for Millrace, through one set of connections. */
export interface RedisServices {
  readonly state: StateStore
  close(): Promise<void>
}

/** Nothing is connected before it is needed, so a server that is down is met by the first use, as `Retryable`. */
export function openRedis(settings: RedisSettings): RedisServices {
  const connection = new Connection(settings)
  return {
    state: createStateStore(connection),
    close: () => connection.close(),
  }
}
