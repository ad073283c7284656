import { z } from 'zod'
import { byteSize } from '../core/units.ts'

/** What one process gives to live clients, under the names that `src/live` has for it. */
export const liveLimits = z.strictObject({
  sessions: z.int().min(1).default(10_000).describe('Live sessions at the same time.'),
  sessionsPerAddress: z
    .int()
    .min(1)
    .optional()
    .describe('Of these from one address. Behind a proxy all clients have its address. Default: no bound.'),
  subscriptions: z.int().min(1).default(100).describe('Subscriptions of one session.'),
  frameBytes: byteSize().prefault('1MB').describe('The largest message that a client may send on a WebSocket.'),
  requestsPerSecond: z.int().min(1).default(500).describe('Requests of one session a second.'),
  queuedEvents: z.int().min(1).default(5_000).describe('Events that wait for one slow client.'),
  queuedBytes: byteSize().prefault('4MiB').describe('Bytes that wait for one slow client.'),
  standingQueries: z
    .int()
    .min(1)
    .default(20_000)
    .describe('Different texts and vectors that events are compared with.'),
})
