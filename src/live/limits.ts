import type { LiveQueryLimits } from './live-query.ts'
import { heartbeatMs } from './protocol.ts'

/** What one process gives to live clients. */
export interface LiveLimits extends LiveQueryLimits {
  readonly sessions: number
  /** Of one address; undefined for no bound. Behind a proxy all clients have its address. */
  readonly sessionsPerAddress: number | undefined
  /** Per session. */
  readonly subscriptions: number
  /** Events and bytes that wait for one client, over all its subscriptions. */
  readonly queuedEvents: number
  readonly queuedBytes: number
  /** A frame is handed to the network only while it holds less than this for the client. */
  readonly highWaterBytes: number
  /** The largest frame that a client may send. */
  readonly frameBytes: number
  /** Requests of one session; a second's worth may come at once. */
  readonly requestsPerSecond: number
  /** Requests of one session that are answered at the same time, and their characters: beyond it none is read. */
  readonly requests: number
  readonly requestCharacters: number
  /** Texts of one session that are embedded at the same time; the others wait. */
  readonly embeddings: number
  /** Different texts and vectors that events are compared with, over all sessions. */
  readonly standingQueries: number
  /** Frames that are no messages, before the session is closed. */
  readonly badFrames: number
  /** A client with a full queue that takes nothing for this long is closed. */
  readonly stalledMs: number
  /** A client that needs a token and sends none for this long is closed. */
  readonly authenticateMs: number
  /** A client that has no subscription and asks for nothing for this long is closed. */
  readonly idleMs: number
  readonly heartbeatMs: number
}

export const defaultLiveLimits: LiveLimits = {
  sessions: 10_000,
  sessionsPerAddress: undefined,
  subscriptions: 100,
  queuedEvents: 5_000,
  queuedBytes: 4 * 2 ** 20,
  highWaterBytes: 256 * 1024,
  frameBytes: 1_000_000,
  requestsPerSecond: 500,
  requests: 64,
  requestCharacters: 4 * 2 ** 20,
  embeddings: 2,
  standingQueries: 20_000,
  queries: 500,
  queryRows: 10_000,
  queryBytes: 2 ** 20,
  queryPauseMs: 200,
  badFrames: 10,
  stalledMs: 30_000,
  authenticateMs: 10_000,
  idleMs: 300_000,
  heartbeatMs,
}
