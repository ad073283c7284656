import { heartbeatMs } from './protocol.ts'

/** What one process gives to live clients. */
export interface LiveLimits {
  readonly sessions: number
  /** Per session. */
  readonly subscriptions: number
  /** Events and bytes that wait for one client, over all its subscriptions. */
  readonly queuedEvents: number
  readonly queuedBytes: number
  /** A frame is handed to the network only while it holds less than this for the client. */
  readonly highWaterBytes: number
  /** Requests of one session that are answered at the same time, and their characters: beyond it none is read. */
  readonly requests: number
  readonly requestCharacters: number
  /** Frames that are no messages, before the session is closed. */
  readonly badFrames: number
  /** A client with a full queue that takes nothing for this long is closed. */
  readonly stalledMs: number
  /** A client that needs a token and sends none for this long is closed. */
  readonly authenticateMs: number
  readonly heartbeatMs: number
}

export const defaultLiveLimits: LiveLimits = {
  sessions: 10_000,
  subscriptions: 100,
  queuedEvents: 5_000,
  queuedBytes: 4 * 2 ** 20,
  highWaterBytes: 256 * 1024,
  requests: 64,
  requestCharacters: 4 * 2 ** 20,
  badFrames: 10,
  stalledMs: 30_000,
  authenticateMs: 10_000,
  heartbeatMs,
}
