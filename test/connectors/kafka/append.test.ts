import { randomBytes, randomUUID } from 'node:crypto'
import { Kafka, logLevel } from 'kafkajs'
import { afterAll, describe, expect, test } from 'vitest'
import { openKafkaLog } from '../../../connectors/kafka/index.ts'
import { InvalidInput, NotFound } from '../../../src/core/errors.ts'
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

  test('to several partitions does not suffer from one beside it whose topic was deleted', async () => {
    const [gone, stays] = [await topicOf(2), await topicOf(2)]
    const both = (value: string) => [0, 1].map((partition) => ({ key: null, value: bytes(value), partition }))
    for (const topic of [gone, stays]) await log.append(topic, both('a'))
    const admin = new Kafka({ brokers: [brokers ?? ''], logLevel: logLevel.NOTHING }).admin()
    await admin.connect()
    await admin.deleteTopics({ topics: [gone] })
    await admin.disconnect()
    const [bad, good] = await Promise.allSettled([log.append(gone, both('b')), log.append(stays, both('b'))])
    expect(bad).toMatchObject({ reason: { constructor: NotFound, code: 'topic_not_found' } })
    expect(good?.status).toBe('fulfilled')
    expect((await readAll(log, stays, 1)).map(({ value }) => text(value))).toEqual(['a', 'b'])
  })

  test('to several partitions may be larger than what one request can carry', async () => {
    const topic = await topicOf(8)
    const value = Buffer.alloc(15 * 1024 * 1024)
    const records = Array.from({ length: 8 }, (_, partition) => ({ key: null, value, partition }))
    const uncompressed = await openKafkaLog(settingsOf(brokers, { compression: 'none' }))
    expect(await uncompressed.append(topic, records)).toHaveLength(8)
    await uncompressed.close()
  })

  test('of a record that no broker would even read is refused', async () => {
    const topic = await topicOf()
    const append = log.append(topic, [{ key: null, value: randomBytes(110 * 1024 * 1024) }])
    await expect(append).rejects.toMatchObject({ constructor: InvalidInput, code: 'record_too_large' })
  })

  test.each([0, -1000, Date.now() + 30 * 86_400_000, 8.64e15])('may be of the time %d', async (timestamp) => {
    const topic = await topicOf()
    await log.append(topic, [{ key: null, value: bytes('a'), timestamp }])
    expect(await readAll(log, topic)).toMatchObject([{ timestamp }])
  })

  test.each([Number.NaN, Number.POSITIVE_INFINITY, 1e300])(
    'of the time %d is refused, and those beside it are stored',
    async (timestamp) => {
      const topic = await topicOf()
      const [good, bad] = await Promise.allSettled([
        log.append(topic, [{ key: null, value: bytes('a') }]),
        log.append(topic, [
          { key: null, value: bytes('b') },
          { key: null, value: bytes('c'), timestamp },
        ]),
      ])
      expect(good?.status).toBe('fulfilled')
      expect(bad).toMatchObject({ reason: { constructor: InvalidInput, code: 'bad_timestamp' } })
      expect(await readAll(log, topic)).toHaveLength(1)
    },
  )

  test("to Millrace's own topics is refused, and nobody else configures them", async () => {
    for (const topic of ['millrace.state', 'millrace.sequences']) {
      const append = log.append(topic, [{ key: bytes('a'), value: bytes('a') }])
      await expect(append).rejects.toMatchObject({ code: 'topic_reserved' })
      await expect(log.ensureTopic(topic, { compact: false })).rejects.toMatchObject({ code: 'topic_reserved' })
    }
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
