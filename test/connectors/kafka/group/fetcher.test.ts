import { describe, expect, test } from 'vitest'
import { openCluster } from '../../../../connectors/kafka/cluster.ts'
import type { FetchedPartition } from '../../../../connectors/kafka/group/fetch-answer.ts'
import { Fetcher, type FetchTarget } from '../../../../connectors/kafka/group/fetcher.ts'
import { readBatches } from '../../../../connectors/kafka/group/record-batch.ts'
import { type MillraceError, Retryable } from '../../../../src/core/errors.ts'
import { findService } from '../../../services/services.ts'
import { Client, eventually, settingsFor } from './rig.ts'

const address = await findService('kafka')

/** Takes whatever comes. */
class Target implements FetchTarget {
  readonly partition: FetchTarget['partition']
  readonly room = 1 << 20
  readonly troubles: MillraceError[] = []
  offset = 0

  constructor(topic: string) {
    this.partition = { topic, partition: 0 }
  }

  accept({ records, aborted }: FetchedPartition): void {
    this.offset = readBatches(records, aborted).end ?? this.offset
  }

  async outOfRange(): Promise<void> {}

  trouble(error: MillraceError): void {
    this.troubles.push(error)
  }
}

describe.skipIf(address === undefined)('fetching', () => {
  // As a broker does that cannot get in time at what it has moved to a slower store.
  test('goes on behind nothing that the broker says it has and does not answer', async () => {
    const client = await Client.open(address ?? '')
    const cluster = await openCluster(settingsFor(address ?? ''), 'test')
    let withholds = true
    const find = cluster.findBroker.bind(cluster)
    cluster.findBroker = async (options) => {
      const broker = await find(options)
      const { connectionPool } = broker
      const send = connectionPool.send.bind(connectionPool)
      connectionPool.send = async (request) => {
        const answer = await send(request)
        if (withholds && typeof answer === 'object' && answer !== null && 'partitions' in answer)
          for (const partition of Array.isArray(answer.partitions) ? answer.partitions : [])
            partition.records = Buffer.alloc(0)
        return answer
      }
      cluster.findBroker = async () => broker
      return broker
    }
    const topic = await client.topic(1)
    await client.send(topic, ['a', 'b'])
    const end = new AbortController()
    const fetcher = new Fetcher(cluster, end.signal)
    const target = new Target(topic)
    fetcher.add(target)
    await eventually(() => target.troubles.length > 0, 'trouble')
    expect(target.troubles[0]).toBeInstanceOf(Retryable)
    expect(target.offset).toBe(0)
    withholds = false
    await eventually(() => target.offset === 2, 'the records')
    end.abort()
    await cluster.disconnect()
    await fetcher.ended()
    await client.close()
  })
})
