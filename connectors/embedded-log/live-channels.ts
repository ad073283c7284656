import { createHash } from 'node:crypto'
import { InvalidInput } from '../../src/core/errors.ts'
import type { Json } from '../../src/core/event.ts'
import type { LiveEvent, StoredLiveEvent } from '../../src/core/live-log.ts'
import type { Store, Table } from './store.ts'

/*
 * event := format u8 | appended f64 | length of the JSON u32 | JSON [id, key, timestamp, value, version?] | vector f32*
 * (little endian), under (channel u32, offset u64), big endian.
 */
const format = 1
const headBytes = 13
const unlimited = Number.MAX_SAFE_INTEGER

interface Bounds {
  readonly first: number
  readonly next: number
}

interface Channel extends Bounds {
  readonly id: number
}

interface Keep {
  readonly keepEvents: number
  readonly keepMs: number
}

/** Channels and their events in the store. What changes anything is called inside a transaction. */
export class LiveChannels {
  readonly #channels: Table
  readonly #events: Table
  readonly #lanes: Table
  readonly #keep: Keep

  constructor(store: Store, keep: Keep) {
    this.#channels = store.table('channels')
    this.#events = store.table('events')
    this.#lanes = store.table('lanes')
    this.#keep = keep
  }

  /** Throws `InvalidInput` (`bad_channel_name`). */
  check(name: string): void {
    channelKey(name)
  }

  /** Without the time of the append, which `append` sets. */
  encode({ id, key, value, timestamp, version, vector }: LiveEvent): Buffer {
    const fields = [id, key, timestamp, value]
    const json = Buffer.from(JSON.stringify(version === undefined ? fields : [...fields, version]))
    const bytes = Buffer.allocUnsafe(headBytes + json.length + (vector?.byteLength ?? 0))
    bytes.writeUInt8(format, 0)
    bytes.writeUInt32LE(json.length, 9)
    bytes.set(json, headBytes)
    if (vector) bytes.set(new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength), headBytes + json.length)
    return bytes
  }

  /** Moves the lane's source offset forward and answers where it stood: -1 for a new lane. */
  advance(channel: string, lane: string, offset: number): number {
    const key = createHash('sha256')
      .update(JSON.stringify([channel, lane]))
      .digest()
    const last = this.#lanes.get(key)?.readDoubleLE(0) ?? -1
    if (offset > last) {
      const stored = Buffer.allocUnsafe(8)
      stored.writeDoubleLE(offset)
      this.#lanes.putSync(key, stored)
    }
    return last
  }

  append(name: string, events: readonly Buffer[]): void {
    const channel = this.#find(name) ?? this.#create()
    let { next } = channel
    const last = next === 0 ? undefined : this.#events.get(eventKey(channel.id, next - 1))
    // Ascending, also when the clock is set back.
    const appended = Math.max(Date.now(), last?.readDoubleLE(1) ?? 0)
    for (const event of events) {
      event.writeDoubleLE(appended, 1)
      this.#events.putSync(eventKey(channel.id, next++), event)
    }
    this.#set(name, { ...channel, next })
  }

  bounds(name: string): Bounds {
    const { first, next } = this.#find(name) ?? { first: 0, next: 0 }
    return { first, next }
  }

  read(name: string, from: number, limit: number, bytes = Number.POSITIVE_INFINITY): StoredLiveEvent[] {
    const channel = this.#find(name)
    if (!channel || limit <= 0 || from >= channel.next) return []
    const start = eventKey(channel.id, Math.max(from, channel.first))
    const events: StoredLiveEvent[] = []
    let size = 0
    for (const { key, value } of this.#events.getRange({ start, end: eventKey(channel.id, channel.next), limit })) {
      events.push(decode(offsetOf(key), value))
      size += value.length
      if (size >= bytes) break
    }
    return events
  }

  names(): string[] {
    return [...this.#channels.getKeys()].map((key) => key.toString())
  }

  /** Removes the oldest events that are too many or too old, at most `most` of them. Answers how many. */
  trim(name: string, most: number): number {
    const channel = this.#find(name)
    if (!channel) return 0
    const surplus = channel.next - this.#keep.keepEvents
    const oldest = Date.now() - this.#keep.keepMs
    const start = eventKey(channel.id, channel.first)
    let { first } = channel
    // Counted first: the table must not change under its own cursor.
    for (const { key, value } of this.#events.getRange({ start, end: eventKey(channel.id, unlimited), limit: most })) {
      if (offsetOf(key) >= surplus && value.readDoubleLE(1) >= oldest) break
      first = offsetOf(key) + 1
    }
    if (first === channel.first) return 0
    for (let offset = channel.first; offset < first; offset++) this.#events.removeSync(eventKey(channel.id, offset))
    this.#set(name, { ...channel, first })
    return first - channel.first
  }

  #find(name: string): Channel | undefined {
    const stored = this.#channels.get(channelKey(name))
    return stored && { id: stored.readUInt32LE(0), first: stored.readDoubleLE(4), next: stored.readDoubleLE(12) }
  }

  #create(): Channel {
    let highest = 0
    for (const { value } of this.#channels.getRange()) highest = Math.max(highest, value.readUInt32LE(0))
    return { id: highest + 1, first: 0, next: 0 }
  }

  #set(name: string, { id, first, next }: Channel): void {
    const stored = Buffer.allocUnsafe(20)
    stored.writeUInt32LE(id, 0)
    stored.writeDoubleLE(first, 4)
    stored.writeDoubleLE(next, 12)
    this.#channels.putSync(channelKey(name), stored)
  }
}

function decode(offset: number, bytes: Buffer): StoredLiveEvent {
  const jsonEnd = headBytes + bytes.readUInt32LE(9)
  const [id, key, timestamp, value, version]: [string, string | null, number, Json, number?] = JSON.parse(
    bytes.toString('utf8', headBytes, jsonEnd),
  )
  const fields = { offset, appended: bytes.readDoubleLE(1), id, key, value, timestamp }
  const event = version === undefined ? fields : { ...fields, version }
  if (jsonEnd === bytes.length) return event
  // Copied, because a Float32Array has to begin at a multiple of four.
  const vector = new Float32Array((bytes.length - jsonEnd) / 4)
  new Uint8Array(vector.buffer).set(bytes.subarray(jsonEnd))
  return { ...event, vector }
}

function channelKey(name: string): Buffer {
  const key = Buffer.from(name)
  if (key.length >= 1 && key.length <= 1000) return key
  throw new InvalidInput({ code: 'bad_channel_name', message: "a channel's name has 1 to 1,000 bytes" })
}

function eventKey(channel: number, offset: number): Buffer {
  const key = Buffer.allocUnsafe(12)
  key.writeUInt32BE(channel, 0)
  key.writeUInt32BE(Math.floor(offset / 0x100000000), 4)
  key.writeUInt32BE(offset % 0x100000000, 8)
  return key
}

function offsetOf(key: Buffer): number {
  return key.readUInt32BE(4) * 0x100000000 + key.readUInt32BE(8)
}
