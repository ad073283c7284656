import type { Json } from '../../src/core/event.ts'
import type { LiveEvent, StoredLiveEvent } from '../../src/core/live-log.ts'

/** The JSON that an event has in its entry: `[id, key, timestamp, value, version?]`. */
export function header({ id, key, value, timestamp, version }: LiveEvent): string {
  const fields = [id, key, timestamp, value]
  return JSON.stringify(version === undefined ? fields : [...fields, version])
}

/** One byte in front of the vector tells one of no dimensions from none. */
export function vectorBytes(vector: Float32Array | undefined): Buffer | string {
  if (vector === undefined) return ''
  const bytes = Buffer.allocUnsafe(vector.byteLength + 1)
  bytes[0] = 1
  bytes.set(new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength), 1)
  return bytes
}

/** The events of a reply of XRANGE. */
export function storedEvents(reply: unknown): StoredLiveEvent[] {
  return listOf(reply).map((entry) => {
    const [id, fields] = listOf(entry)
    const [, json, , vector] = listOf(fields)
    const [offset, appended] = String(id).split('-')
    return decode(Number(offset), Number(appended), json, vector)
  })
}

function decode(offset: number, appended: number, json: unknown, bytes: unknown): StoredLiveEvent {
  const [id, key, timestamp, value, version]: [string, string | null, number, Json, number?] = JSON.parse(String(json))
  const fields = { offset, appended, id, key, value, timestamp }
  const event = version === undefined ? fields : { ...fields, version }
  if (!Buffer.isBuffer(bytes)) return event
  // Copied, because a Float32Array has to begin at a multiple of four.
  const vector = new Float32Array((bytes.length - 1) / 4)
  new Uint8Array(vector.buffer).set(bytes.subarray(1))
  return { ...event, vector }
}

function listOf(reply: unknown): readonly unknown[] {
  return Array.isArray(reply) ? reply : []
}
