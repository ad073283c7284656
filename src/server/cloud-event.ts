import { z } from 'zod'
import type { Json } from '../core/event.ts'
import type { GivenEvent } from './publish.ts'

const attributes = z.looseObject({
  specversion: z.literal('1.0', 'only CloudEvents 1.0 are known'),
  id: z.string().min(1),
  source: z.string().min(1),
  type: z.string().min(1),
  time: z.iso.datetime({ offset: true }).optional(),
  partitionkey: z.string().optional(),
  data: z.custom<Json>().optional(),
  data_base64: z.base64().optional(),
})

/**
 * A CloudEvent as an event, as its Kafka binding has it: the data is the value, the attributes are headers that start
 * with `ce_`, `partitionkey` is the key and `time` the timestamp. Without data it is a tombstone.
 * Answers what is wrong with it otherwise.
 */
export function cloudEvent(given: Json): GivenEvent | string {
  const parsed = attributes.safeParse(given)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    return `not a CloudEvent: ${issue?.path.join('.') || 'the event'}: ${issue?.message ?? 'invalid'}`
  }
  const { data, data_base64, partitionkey, time, ...rest } = parsed.data
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries({ ...rest, time, partitionkey })) {
    if (value !== undefined) headers[`ce_${name}`] = typeof value === 'string' ? value : JSON.stringify(value)
  }
  const value = data_base64 === undefined ? (data ?? null) : decodeJson(data_base64)
  if (value === undefined) return 'its data_base64 is not JSON; other data cannot be read'
  return { value, key: partitionkey, headers, timestamp: time === undefined ? undefined : Date.parse(time) }
}

function decodeJson(base64: string): Json | undefined {
  try {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    return undefined
  }
}
