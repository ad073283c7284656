import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openKafkaLog } from '../../../connectors/kafka/index.ts'
import { Fenced } from '../../../src/core/errors.ts'
import type { EventLog } from '../../../src/core/event-log.ts'
import { bytes, entries, readAll, text } from '../../contracts/event-log-member.ts'
import { findService } from '../../services/services.ts'
import { settingsOf } from './settings.ts'

const brokers = await findService('kafka')

describe.skipIf(brokers === undefined)('two processes with one name on Kafka', () => {
  let [first, second]: EventLog[] = []
  let topic = ''
  const opened = (log: EventLog | undefined): EventLog => {
    if (!log) throw new Error('the log is not open')
    return log
  }
  beforeEach(async () => {
    first = await openKafkaLog(settingsOf(brokers))
    second = await openKafkaLog(settingsOf(brokers))
    topic = `t-${randomUUID()}`
    await first.ensureTopic(topic, { partitions: 2 })
  })
  afterEach(async () => {
    await Promise.all([first?.close(), second?.close()])
  })

  const write = (log: EventLog | undefined, sequence: number) =>
    opened(log).append(
      topic,
      [0, 1].map((partition) => ({ key: null, value: bytes(String(sequence)), partition })),
      { once: { producer: topic, sequence } },
    )
  const stored = async (partition: number) =>
    (await readAll(opened(first), topic, partition)).map(({ value }) => text(value))

  test('neither double nor lose a sequence, whoever writes it first', async () => {
    expect(await write(first, 1)).toHaveLength(2)
    expect(await write(second, 1)).toEqual([])
    expect(await write(second, 2)).toHaveLength(2)
    // It was fenced, and finds out when it writes.
    expect(await write(first, 2)).toEqual([])
    expect(await write(first, 3)).toHaveLength(2)
    expect(await write(second, 3)).toEqual([])
    expect([await stored(0), await stored(1)]).toEqual([
      ['1', '2', '3'],
      ['1', '2', '3'],
    ])
  })

  test('store each sequence once when both write at the same time', async () => {
    for (let sequence = 1; sequence <= 5; sequence++)
      await Promise.allSettled([write(first, sequence), write(second, sequence)])
    await write(first, 5)
    expect([await stored(0), await stored(1)]).toEqual([
      ['1', '2', '3', '4', '5'],
      ['1', '2', '3', '4', '5'],
    ])
  })

  test('of no records leaves the last sequence as it was', async () => {
    const once = (sequence: number | number[]) => ({ once: { producer: 'p', sequence } })
    const state = { scope: 's', changes: [{ key: 'a', value: 1 }] }
    const record = { key: null, value: bytes('a') }
    await opened(first).append(topic, [], { ...once([]), state })
    expect(await opened(first).append(topic, [record], once(0))).toHaveLength(1)
    await opened(first).append(topic, [record], once(57))
    await opened(first).append(topic, [], { ...once([]), state })
    expect(await opened(first).append(topic, [record], once(57))).toEqual([])
    expect(await opened(second).append(topic, [record], once(57))).toEqual([])
  })

  test('one that was fenced appends no more with state, until it reads the state again', async () => {
    const append = (log: EventLog | undefined, value: string) =>
      opened(log).append(topic, [{ key: null, value: bytes(value), partition: 0 }], {
        state: { scope: topic, changes: [{ key: 'last', value }] },
      })
    const state = (log: EventLog | undefined) => entries(opened(log).state(topic))
    expect(await state(first)).toEqual({})
    await append(first, 'a')
    expect(await state(second)).toEqual({ last: 'a' })
    await append(second, 'b')
    await expect(append(first, 'c')).rejects.toBeInstanceOf(Fenced)
    await expect(append(first, 'c')).rejects.toBeInstanceOf(Fenced)
    expect(await state(first)).toEqual({ last: 'b' })
    await append(first, 'd')
    await expect(append(second, 'e')).rejects.toBeInstanceOf(Fenced)
    expect(await stored(0)).toEqual(['a', 'b', 'd'])
  })
})
