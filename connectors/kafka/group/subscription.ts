import { z } from 'zod'
import type { TopicPartition } from '../../../src/core/event.ts'

/** What a member tells the leader of its group when it joins. */
export interface Subscription {
  /** Names and patterns; none while the member takes nothing new. */
  readonly topics: readonly string[]
  /** Partitions that it holds, or is about to. */
  readonly owned: readonly TopicPartition[]
  /** The generation in which it was last given partitions; -1 before. */
  readonly generation: number
}

/*
 * Subscriptions and assignments are written as those of Kafka's own consumers are (`ConsumerProtocolSubscription` and
 * `ConsumerProtocolAssignment`, version 0), so that the tools of Kafka can show who has what:
 *
 *   subscription := version i16 | count i32 | topic string* | user data bytes
 *   assignment   := version i16 | count i32 | (topic string | count i32 | partition i32*)* | user data bytes
 *
 * What else the leader needs to know is the user data, as JSON. The names are those of topics, patterns resolved: brokers
 * let the positions of topics that no member names expire, after `offsets.retention.minutes`, also while the group lives.
 */
const version = 0

const partitionsByTopic = z.array(z.tuple([z.string(), z.array(z.int().nonnegative())]))
const userData = z.object({ topics: z.array(z.string()), owned: partitionsByTopic, generation: z.int() })

/** `found` are the topics that the names and patterns stand for. */
export function encodeSubscription({ topics, owned, generation }: Subscription, found: readonly string[]): Buffer {
  const data: z.infer<typeof userData> = { topics: [...topics], owned: grouped(owned), generation }
  const names = [...new Set([...found, ...owned.map(({ topic }) => topic)])]
  return Buffer.concat([int16(version), int32(names.length), ...names.map(string), bytes(JSON.stringify(data))])
}

/** `undefined` for what no member of ours has written. */
export function decodeSubscription(content: Buffer): Subscription | undefined {
  try {
    const reader = new Reader(content)
    reader.int16()
    for (let left = reader.int32(); left > 0; left--) reader.string()
    const { topics, owned, generation } = userData.parse(JSON.parse(reader.bytes().toString()))
    return { topics, owned: flat(owned), generation }
  } catch {
    return undefined
  }
}

export function encodeAssignment(partitions: readonly TopicPartition[]): Buffer {
  const topics = grouped(partitions)
  return Buffer.concat([
    int16(version),
    int32(topics.length),
    ...topics.flatMap(([topic, numbers]) => [string(topic), int32(numbers.length), ...numbers.map(int32)]),
    bytes(''),
  ])
}

/** Empty for what no leader of ours has written. */
export function decodeAssignment(content: Buffer): TopicPartition[] {
  try {
    const reader = new Reader(content)
    reader.int16()
    const partitions: TopicPartition[] = []
    for (let topics = reader.int32(); topics > 0; topics--) {
      const topic = reader.string()
      for (let left = reader.int32(); left > 0; left--) partitions.push({ topic, partition: reader.int32() })
    }
    return partitions
  } catch {
    return []
  }
}

function grouped(partitions: readonly TopicPartition[]): [topic: string, partitions: number[]][] {
  const byTopic = new Map<string, number[]>()
  for (const { topic, partition } of partitions) {
    const numbers = byTopic.get(topic)
    if (numbers) numbers.push(partition)
    else byTopic.set(topic, [partition])
  }
  return [...byTopic]
}

function flat(topics: readonly (readonly [string, readonly number[]])[]): TopicPartition[] {
  return topics.flatMap(([topic, numbers]) => numbers.map((partition) => ({ topic, partition })))
}

function int16(value: number): Buffer {
  const buffer = Buffer.alloc(2)
  buffer.writeInt16BE(value)
  return buffer
}

function int32(value: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeInt32BE(value)
  return buffer
}

function string(text: string): Buffer {
  const content = Buffer.from(text)
  return Buffer.concat([int16(content.length), content])
}

function bytes(text: string): Buffer {
  const content = Buffer.from(text)
  return Buffer.concat([int32(content.length), content])
}

class Reader {
  readonly #content: Buffer
  #at = 0

  constructor(content: Buffer) {
    this.#content = content
  }

  int16(): number {
    const value = this.#content.readInt16BE(this.#at)
    this.#at += 2
    return value
  }

  int32(): number {
    const value = this.#content.readInt32BE(this.#at)
    this.#at += 4
    return value
  }

  string(): string {
    return this.#take(this.int16()).toString()
  }

  bytes(): Buffer {
    return this.#take(this.int32())
  }

  #take(length: number): Buffer {
    const end = this.#at + length
    if (length < 0 || end > this.#content.length) throw new RangeError('a length leads out of the content')
    const content = this.#content.subarray(this.#at, end)
    this.#at = end
    return content
  }
}
