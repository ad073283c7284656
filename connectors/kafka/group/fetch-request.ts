import type Broker from 'kafkajs/src/broker/index.js'
import type { TopicPartition } from '../../../src/core/event.ts'
import { decodeFetchAnswer, type FetchAnswer } from './fetch-answer.ts'

const fetchKey = 1

/** One partition of a fetch. */
export interface Fetch {
  readonly partition: TopicPartition
  readonly offset: number
  readonly maxBytes: number
}

export interface FetchLimits {
  /** How long the broker may wait for a first record, milliseconds. */
  readonly maxWaitTime: number
  /** Of the whole answer. The first record of the first partition that has one is answered whatever its size. */
  readonly maxBytes: number
}

/** Asks a broker for committed records, over the connection that it has for fetches. */
export async function requestFetch(
  broker: Broker,
  fetches: readonly Fetch[],
  limits: FetchLimits,
): Promise<FetchAnswer> {
  const { default: fetch } = await import('kafkajs/src/protocol/requests/fetch/index.js')
  const newest = Math.max(...fetch.versions.map(Number))
  const version = Math.min(newest, broker.versions?.[fetchKey]?.maxVersion ?? newest)
  const topics: { topic: string; partitions: { partition: number; fetchOffset: number; maxBytes: number }[] }[] = []
  for (const { partition: place, offset, maxBytes } of fetches) {
    const asked = { partition: place.partition, fetchOffset: offset, maxBytes }
    const last = topics.at(-1)
    if (last?.topic === place.topic) last.partitions.push(asked)
    else topics.push({ topic: place.topic, partitions: [asked] })
  }
  const { request, requestTimeout } = fetch.protocol({ version })({
    isolationLevel: 1,
    ...limits,
    minBytes: 1,
    topics,
  })
  return broker.connectionPool.send<FetchAnswer>({
    request,
    response: {
      decode: async (payload) => decodeFetchAnswer(payload, version),
      parse: async (decoded) => {
        if (!isFetchAnswer(decoded)) throw new Error('the answer to a fetch was not decoded')
        return decoded
      },
    },
    ...(requestTimeout === undefined ? {} : { requestTimeout }),
  })
}

function isFetchAnswer(decoded: object): decoded is FetchAnswer {
  return 'partitions' in decoded && 'throttle' in decoded
}
