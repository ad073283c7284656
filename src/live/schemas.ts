import { z } from 'zod'
import type { ClientMessage, JsonValue, SubscribeOptions } from './protocol.ts'

const maxExpression = 4_096
const maxText = 8_192
const maxVector = 8_192

export const channelName = z
  .string()
  .regex(/^[A-Za-z0-9._:-]{1,200}$/, 'a channel name has 1 to 200 letters, digits, dots, colons, dashes or underscores')

const similar = z
  .strictObject({
    text: z.string().min(1).max(maxText).optional(),
    vector: z.array(z.number()).min(1).max(maxVector).optional(),
    minScore: z.number().min(-1).max(1).optional(),
  })
  .refine(({ text, vector }) => (text === undefined) !== (vector === undefined), 'give exactly one of text and vector')

const position = z.strictObject({ epoch: z.string().max(200), offset: z.int().min(-1) })

const since = z.union([
  z.literal('latest'),
  z.strictObject({ last: z.int().min(0).max(10_000) }),
  z.strictObject({ time: z.number().min(0) }),
  z.strictObject({ ago: z.number().min(0) }),
  position,
])

const maxRate = z.number().positive().max(1_000_000).optional()

const options = {
  filter: z.string().max(maxExpression).optional(),
  similar: similar.optional(),
  since: since.optional(),
  conflate: z.string().max(maxExpression).optional(),
  maxRate,
  delta: z.union([z.boolean(), z.strictObject({ from: z.int().min(0) })]).optional(),
  presence: z.strictObject({ join: z.boolean().optional(), state: z.custom<JsonValue>().optional() }).optional(),
}
export const subscribeOptions: z.ZodType<SubscribeOptions> = z.strictObject(options)

const id = z.int()
/** What `JSON.parse` made is JSON; walking through it again would only cost time, and a deep one the stack. */
const json = z.custom<JsonValue>()

const clientMessage: z.ZodType<ClientMessage> = z.discriminatedUnion('type', [
  z.strictObject({ id, type: z.literal('subscribe'), channel: channelName, ...options }),
  z.strictObject({ id, type: z.literal('unsubscribe'), subscription: z.string() }),
  z.strictObject({
    id,
    type: z.literal('publish'),
    topic: z.string(),
    events: z.array(json).min(1),
    key: z.string().optional(),
  }),
  z.strictObject({ id, type: z.literal('authenticate'), token: z.string() }),
  z.strictObject({ id, type: z.literal('presence'), subscription: z.string(), state: json }),
])

const querySubscription: z.ZodType<ClientMessage> = z.strictObject({
  id,
  type: z.literal('subscribe'),
  query: z.string().min(1).max(200),
  params: z.record(z.string(), json).optional(),
  since: position.optional(),
  maxRate,
})

/** What a message is checked with: subscriptions to channels and to queries have the same type. */
export function messageSchema(value: unknown): z.ZodType<ClientMessage> {
  const isObject = typeof value === 'object' && value !== null
  return isObject && 'query' in value && !('channel' in value) ? querySubscription : clientMessage
}

/** The first problem of a failed parse, with where it is: `since.offset: expected number`. */
export function firstProblem(error: z.ZodError): string {
  const issue = error.issues[0]
  if (!issue) return 'invalid'
  const where = issue.path.map(String).join('.')
  return where === '' ? issue.message : `${where}: ${issue.message}`
}
