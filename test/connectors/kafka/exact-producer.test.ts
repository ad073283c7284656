import { randomUUID } from 'node:crypto'
import { afterAll, describe, expect, test } from 'vitest'
import { openCluster } from '../../../connectors/kafka/cluster.ts'
import { ExactProducer } from '../../../connectors/kafka/exact-producer.ts'
import { PartitionReader } from '../../../connectors/kafka/reader.ts'
import { TopicAdmin } from '../../../connectors/kafka/topic-admin.ts'
import { TopicMetadata } from '../../../connectors/kafka/topic-metadata.ts'
import { openWriterParts } from '../../../connectors/kafka/writer-parts.ts'
import { Retryable } from '../../../src/core/errors.ts'
import { bytes, many, text } from '../../contracts/event-log-member.ts'
import { findService } from '../../services/services.ts'
import { settingsOf } from './settings.ts'

const brokers = await findService('kafka')

describe.skipIf(brokers === undefined)('an append with state whose commit was not answered', async () => {
  const settings = settingsOf(brokers ?? '127.0.0.1:1')
  const control = await openCluster(settings, 'test')
  const topics = new TopicMetadata(control)
  const admin = new TopicAdmin({ control, topics, settings })
  const parts = await openWriterParts(settings, admin, () => undefined)
  const reader = new PartitionReader(control, topics)
  afterAll(async () => {
    await parts.cluster.disconnect()
    await control.disconnect()
  })

  async function producer() {
    const topic = `t-${randomUUID()}`
    await admin.ensure(topic)
    const exact = new ExactProducer(parts, `append/${topic}`, topic)
    await exact.values()
    return {
      topic,
      exact,
      /** What readers of what is committed see: the brokers mark a commit in the partitions after they have answered it. */
      stored: async () => (await reader.read({ topic, partition: 0 }, 0, many)).map(({ value }) => text(value)),
      appendOf: (value: string) => {
        const records = [{ key: null, value: bytes(value) }]
        return {
          topic,
          records,
          shares: () => [{ topic, partition: 0, records }],
          once: undefined,
          state: { scope: topic, changes: [{ key: 'last', value }] },
        }
      },
    }
  }

  /** The next commit is carried out and not answered, and what there is cannot be read for a moment. */
  async function outage(topic: string): Promise<void> {
    const coordinator = await parts.cluster.findGroupCoordinator({
      groupId: `millrace-append/${topic}`,
      coordinatorType: 1,
    })
    const { sequences } = parts
    const [endTxn, read] = [coordinator.endTxn.bind(coordinator), sequences.read.bind(sequences)]
    coordinator.endTxn = async (options) => {
      coordinator.endTxn = endTxn
      await endTxn(options)
      throw new Error('the connection broke')
    }
    sequences.read = async () => {
      sequences.read = read
      throw new Error('the brokers do not answer')
    }
  }

  test('is stored once when it is repeated after the outage', async () => {
    const { topic, exact, appendOf, stored } = await producer()
    const append = appendOf('a')
    await outage(topic)
    await expect(exact.append(append)).rejects.toBeInstanceOf(Retryable)
    expect(await exact.append(append)).toEqual([[0], expect.anything(), expect.anything()])
    await expect.poll(stored).toEqual(['a'])
    await exact.append(appendOf('b'))
    await expect.poll(stored).toEqual(['a', 'b'])
    expect(Object.fromEntries(await exact.values())).toEqual({ last: 'b' })
  })

  test('counts for whoever reads the state next', async () => {
    const { topic, exact, appendOf } = await producer()
    await outage(topic)
    await expect(exact.append(appendOf('a'))).rejects.toBeInstanceOf(Retryable)
    expect(Object.fromEntries(await exact.values())).toEqual({ last: 'a' })
  })
})
