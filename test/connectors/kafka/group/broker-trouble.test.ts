import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Fenced, Retryable } from '../../../../src/core/errors.ts'
import { type KafkaServer, kafkaMissing, startKafka } from '../../../services/kafka.ts'
import { Client, eventually, many, patience, Rig, settingsFor, take } from './rig.ts'

const missing = await kafkaMissing()
const sessionTimeout = 6000

describe.skipIf(missing !== undefined)('when the broker is in trouble', () => {
  let kafka: KafkaServer
  let client: Client
  let rig: Rig

  beforeAll(async () => {
    kafka = await startKafka()
    client = await Client.open(kafka.internal)
    rig = await Rig.open(settingsFor(kafka.brokers, sessionTimeout))
  }, 120_000)
  afterAll(async () => {
    await rig?.close()
    await client?.close()
    await kafka?.[Symbol.asyncDispose]()
  }, 60_000)

  test('that hangs for less than the session, lanes stay and go on', async () => {
    const topic = await client.topic(2)
    const member = rig.join({ topics: [topic], group: `g-${randomUUID()}` })
    const lanes = await member.holds(2)
    kafka.pause()
    await delay(3500)
    kafka.resume()
    await client.send(topic, ['a'])
    const [lane] = lanes.filter(({ partition }) => partition.partition === 0)
    expect(lane && (await take(lane, 1))).toEqual(['a'])
    await lane?.commit({ from: 1, ends: [] })
    await delay(1500)
    expect(lanes.filter(({ revoked }) => revoked.aborted)).toEqual([])
    await member.leave()
  }, 60_000)

  test('that hangs for longer, lanes end in time, and come back', async () => {
    const topic = await client.topic(1)
    const troubles: (Error | undefined)[] = []
    const trouble = (error: Error | undefined) => void troubles.push(error)
    const member = rig.join({ topics: [topic], group: `g-${randomUUID()}`, trouble })
    const lane = await member.lane()
    await lane.commit({ from: 0, ends: [] })
    const reading = lane.read(many, patience()).catch((error: unknown) => error)
    kafka.pause()
    try {
      await delay(sessionTimeout + 1500)
      expect(lane.revoked.aborted).toBe(true)
      expect(() => lane.assertOwned()).toThrow(Fenced)
      expect(await reading).toBeInstanceOf(Error)
      expect(troubles.at(-1)).toBeInstanceOf(Retryable)
    } finally {
      kafka.resume()
    }
    const again = await member.lane()
    expect(troubles.at(-1)).toBeUndefined()
    await client.send(topic, ['a'])
    expect(await take(again, 1)).toEqual(['a'])
    await again.commit({ from: 1, ends: [] })
    await member.leave()
  }, 60_000)

  test('that is killed and started again, everything goes on by itself', async () => {
    const [topic, group] = [await client.topic(2), `g-${randomUUID()}`]
    await client.send(topic, ['a', 'b'])
    const member = rig.join({ topics: [topic], group })
    const lanes = await member.holds(2)
    const first = lanes.find(({ partition }) => partition.partition === 0)
    expect(first && (await take(first, 1))).toEqual(['a'])
    await first?.commit({ from: 1, ends: [2] })
    await kafka.kill()
    await kafka.restart()
    await eventually(() => member.lanes.length === 2, 'two lanes', 40_000)
    await eventually(
      () =>
        client
          .send(topic, ['c'])
          .then(() => true)
          .catch(() => false),
      'a record',
      40_000,
    )
    const lane = member.lanes.find(({ partition }) => partition.partition === 0)
    const values = lane === first ? ['b', 'c'] : ['a', 'b', 'c'].slice(lane?.committed.from ?? 0)
    const found: string[] = []
    while (lane && found.length < values.length) {
      // A read may tell of the outage, as something to be tried again.
      const records = await lane.read(many, patience()).catch((error: unknown) => {
        if (error instanceof Retryable) return []
        throw error
      })
      for (const { value } of records) found.push(String(value))
    }
    expect(found).toEqual(values)
    await lane?.commit({ from: 3, ends: [] })
    await member.leave()
    const successor = rig.join({ topics: [topic], group })
    const taken = (await successor.holds(2)).find(({ partition }) => partition.partition === 0)
    expect(taken?.committed).toEqual({ from: 3, ends: [] })
    await successor.leave()
  }, 180_000)

  test('that was away, a lane whose reads have failed says when it is back, without a record', async () => {
    const patientRig = await Rig.open(settingsFor(kafka.brokers, 30_000))
    try {
      const member = patientRig.join({ topics: [await client.topic(1)], group: `g-${randomUUID()}` })
      const lane = await member.lane()
      const reading = lane.read(many, patience()).catch((error: unknown) => error)
      await kafka.kill()
      expect(await reading).toBeInstanceOf(Retryable)
      const waiting = lane.read(many, AbortSignal.timeout(40_000)).catch((error: unknown) => error)
      await kafka.restart()
      let answer = await waiting
      while (answer instanceof Retryable) answer = await lane.read(many, patience()).catch((error: unknown) => error)
      expect(answer).toEqual([])
      await member.leave()
    } finally {
      await patientRig.close()
    }
  }, 120_000)
})
