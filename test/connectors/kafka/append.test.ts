import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, describe, expect, test } from 'vitest'
import { openKafkaLog } from '../../../connectors/kafka/index.ts'
import { InvalidInput } from '../../../src/core/errors.ts'
import { bytes, readAll, text } from '../../contracts/event-log-member.ts'
import { findService } from '../../services/services.ts'
import { settingsOf } from './settings.ts'

const brokers = await findService('kafka')

describe.skipIf(brokers === undefined)('an append to Kafka', async () => {
  const log = await openKafkaLog(settingsOf(brokers ?? '127.0.0.1:1'))
  afterAll(() => log.close())

  async function topicOf(partitions = 1): Promise<string> {
    const topic = `t-${randomUUID()}`
    await log.ensureTopic(topic, { partitions })
    return topic
  }
  const tooLarge = { key: null, value: randomBytes(17 * 1024 * 1024), partition: 0 }

  test('that no topic could take is refused for what it is, and those beside it are stored', async () => {
    const topic = await topicOf()
    const [good, bad, last] = await Promise.allSettled([
      log.append(topic, [{ key: null, value: bytes('a') }]),
      log.append(topic, [tooLarge]),
      log.append(topic, [{ key: null, value: bytes('b') }]),
    ])
    expect([good?.status, last?.status]).toEqual(['fulfilled', 'fulfilled'])
    expect(bad).toMatchObject({ reason: { constructor: InvalidInput, code: 'record_too_large' } })
    expect((await readAll(log, topic)).map(({ value }) => text(value))).toEqual(['a', 'b'])
  })

  test('to several partitions stores all of its records or none', async () => {
    const topic = await topicOf(3)
    await expect(
      log.append(topic, [
        { key: null, value: bytes('left'), partition: 1 },
        tooLarge,
        { key: null, value: bytes('right'), partition: 2 },
      ]),
    ).rejects.toMatchObject({ code: 'record_too_large' })
    await log.append(topic, [
      { key: null, value: bytes('0'), partition: 0 },
      { key: null, value: bytes('1'), partition: 1 },
      { key: null, value: bytes('2'), partition: 2 },
    ])
    for (const partition of [0, 1, 2])
      expect((await readAll(log, topic, partition)).map(({ value }) => text(value))).toEqual([String(partition)])
  })

  test('to several partitions is not taken with a bad one beside it', async () => {
    const topic = await topicOf(2)
    const both = (value: string) => [0, 1].map((partition) => ({ key: null, value: bytes(value), partition }))
    const [, bad] = await Promise.allSettled([
      log.append(topic, both('a')),
      log.append(topic, [...both('bad'), tooLarge]),
      log.append(topic, both('b')),
    ])
    expect(bad?.status).toBe('rejected')
    expect((await readAll(log, topic, 1)).map(({ value }) => text(value))).toEqual(['a', 'b'])
  })

  test('that is larger than a batch is stored as a whole, under the positions that were answered', async () => {
    const topic = await topicOf()
    const records = Array.from({ length: 40 }, (_, index) => ({ key: bytes(`${index}`), value: Buffer.alloc(100_000) }))
    const positions = await log.append(topic, records)
    const read = await readAll(log, topic)
    expect(read.map(({ key, offset }) => [text(key), offset])).toEqual(
      positions.map(({ offset }, index) => [String(index), offset]),
    )
  })

  test('that fits shares a batch with those that come at the same time, in their order', async () => {
    const topic = await topicOf()
    await log.append(topic, [{ key: null, value: bytes('first') }])
    const began = performance.now()
    const answers = await Promise.all(
      Array.from({ length: 5000 }, (_, index) => log.append(topic, [{ key: null, value: bytes(String(index)) }])),
    )
    // One request each would take a multiple of it.
    expect(performance.now() - began).toBeLessThan(5000)
    expect(answers.map(([position]) => position?.offset)).toEqual(answers.map((_, index) => index + 1))
  })
})
