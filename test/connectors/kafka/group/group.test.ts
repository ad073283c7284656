import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { AssignerProtocol } from 'kafkajs'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Lane } from '../../../../connectors/kafka/group/lane.ts'
import { Fatal, Fenced, Retryable } from '../../../../src/core/errors.ts'
import type { LaneSource } from '../../../../src/core/event-log.ts'
import { findService } from '../../../services/services.ts'
import { Client, eventually, FakeStateStore, many, patience, Rig, settingsFor, take } from './rig.ts'

const address = await findService('kafka')

describe.skipIf(address === undefined)('members of a group', () => {
  const settings = settingsFor(address ?? '')
  let client: Client
  let rigs: Rig[] = []

  beforeAll(async () => {
    client = await Client.open(address ?? '')
  })
  afterAll(() => client.close())
  afterEach(async () => {
    await Promise.all(rigs.map((rig) => rig.close()))
    rigs = []
  })

  async function open(store?: FakeStateStore): Promise<Rig> {
    const rig = await Rig.open(settings, store)
    rigs.push(rig)
    return rig
  }

  test('a lane that is leaving finishes and commits, and its successor goes on exactly there', async () => {
    const [topic, group] = [await client.topic(2), `g-${randomUUID()}`]
    for (const partition of [0, 1]) await client.send(topic, ['a', 'b', 'c'], partition)
    const store = new FakeStateStore()
    const first = (await open(store)).join({ topics: [topic], group })
    const lanes = await first.holds(2)
    for (const lane of lanes) expect(await take(lane, 2)).toEqual(['a', 'b'])
    const second = (await open(store)).join({ topics: [topic], group })
    await eventually(() => lanes.some(({ leaving }) => leaving.aborted), 'a lane to be wanted elsewhere')
    const leaver = lanes.find(({ leaving }) => leaving.aborted)
    const stayer = lanes.find(({ leaving }) => !leaving.aborted)
    leaver?.assertOwned()
    await leaver?.commit({ from: 2, ends: [] }, [{ key: 'seen', value: 2 }])
    await leaver?.release()
    const successor = await second.lane()
    expect(successor.partition).toEqual(leaver?.partition)
    expect(successor.committed).toEqual({ from: 2, ends: [] })
    expect(await successor.state.get(['seen'])).toEqual([2])
    expect(await take(successor, 1)).toEqual(['c'])
    await expect(leaver?.commit({ from: 3, ends: [] })).rejects.toBeInstanceOf(Fenced)
    expect(stayer?.leaving.aborted).toBe(false)
    expect(stayer?.revoked.aborted).toBe(false)
    await stayer?.commit({ from: 2, ends: [] })
  })

  test('a lane that does not let go is revoked after the grace, and cannot commit', async () => {
    const [topic, group] = [await client.topic(2), `g-${randomUUID()}`]
    const first = (await open()).join({ topics: [topic], group })
    const lanes = await first.holds(2)
    const second = (await open()).join({ topics: [topic], group })
    await eventually(() => lanes.some(({ leaving }) => leaving.aborted), 'a lane to be wanted elsewhere')
    const hanging = lanes.find(({ leaving }) => leaving.aborted)
    expect(hanging?.revoked.aborted).toBe(false)
    expect((await second.lane()).partition).toEqual(hanging?.partition)
    expect(hanging?.revoked.aborted).toBe(true)
    expect(() => hanging?.assertOwned()).toThrow(Fenced)
    await expect(hanging?.commit({ from: 1, ends: [] })).rejects.toBeInstanceOf(Fenced)
    await expect(hanging?.read(many, patience())).rejects.toBeInstanceOf(Fenced)
  })

  test('members that come and go under load disturb no lane that stays, and every record is read once', async () => {
    const [topic, group] = [await client.topic(4), `g-${randomUUID()}`]
    const seen = new Map<string, number>()
    const count = 400
    const work = async (lane: LaneSource, stop: AbortSignal) => {
      const signal = AbortSignal.any([stop, lane.leaving, lane.revoked])
      let from = lane.committed.from
      try {
        while (!signal.aborted) {
          const records = await lane.read({ events: 3, bytes: 1e6 }, signal)
          if (records.length === 0) continue
          await delay(2)
          lane.assertOwned()
          for (const { partition, offset } of records) {
            const position = `${partition}/${offset}`
            seen.set(position, (seen.get(position) ?? 0) + 1)
          }
          from = (records.at(-1)?.offset ?? from) + 1
          await lane.commit({ from, ends: [] })
        }
      } finally {
        await lane.release()
      }
    }
    const run = async () => {
      const rig = await open()
      const stop = new AbortController()
      const lanes: LaneSource[] = []
      const running = (async () => {
        const all: Promise<void>[] = []
        for await (const lane of rig.groups.source({ topics: [topic], group }).lanes(stop.signal)) {
          lanes.push(lane)
          all.push(work(lane, stop.signal))
        }
        await Promise.all(all)
      })()
      return { lanes, running, stop: () => stop.abort() }
    }
    const producing = (async () => {
      for (let n = 0; n < count; n += 10) {
        const values = Array.from({ length: 10 }, (_, index) => String(n + index))
        await Promise.all([0, 1, 2, 3].map((partition) => client.send(topic, values, partition)))
        await delay(20)
      }
    })()
    const first = await run()
    await eventually(() => first.lanes.length === 4, 'all lanes')
    const second = await run()
    await eventually(() => second.lanes.length === 2, 'half of the lanes')
    const third = await run()
    await eventually(() => third.lanes.length === 1, 'a share')
    second.stop()
    await second.running
    await producing
    await eventually(() => seen.size === 4 * count, 'all records')
    for (const each of [first, third]) {
      each.stop()
      await each.running
    }
    expect([...seen.values()].filter((times) => times !== 1)).toEqual([])
    // Of four lanes two had to go to the second and the third member; the others were never asked to.
    expect(first.lanes.slice(0, 4).filter(({ leaving }) => !leaving.aborted).length).toBeGreaterThanOrEqual(1)
  })

  test('a lane that nobody reads keeps a bounded part in memory, and another goes on', async () => {
    const [topic, group] = [await client.topic(2), `g-${randomUUID()}`]
    const large = Buffer.alloc(200_000, 'x')
    for (let n = 0; n < 15; n++)
      for (const partition of [0, 1]) await client.send(topic, [large, large, large, large], partition)
    const member = (await open()).join({ topics: [topic], group })
    const lanes = await member.holds(2)
    const read = lanes.find(({ partition }) => partition.partition === 0)
    const unread = lanes.find(({ partition }) => partition.partition === 1)
    expect(read && (await take(read, 60))).toHaveLength(60)
    await delay(500)
    expect(unread instanceof Lane && unread.waitingBytes).toBeGreaterThan(0)
    expect(unread instanceof Lane && unread.waitingBytes).toBeLessThan(6 << 20)
    expect(unread && (await take(unread, 60))).toHaveLength(60)
  })

  test('a record that is larger than what a lane keeps waiting is read', async () => {
    const topic = await client.topic(1, [{ name: 'max.message.bytes', value: '10000000' }])
    await client.send(topic, [Buffer.alloc(9_000_000, 'x')])
    await client.send(topic, ['small'])
    const lane = await (await open()).join({ topics: [topic], group: `g-${randomUUID()}` }).lane()
    const values = await take(lane, 2)
    expect(values.map(({ length }) => length)).toEqual([9_000_000, 5])
  })

  test('a new record on an idle topic is handed out soon', async () => {
    const topic = await client.topic(1)
    const lane = await (await open()).join({ topics: [topic], group: `g-${randomUUID()}` }).lane()
    for (let n = 0; n < 5; n++) {
      const reading = lane.read(many, patience())
      await delay(30)
      await client.send(topic, [String(n)])
      const sent = performance.now()
      await reading
      expect(performance.now() - sent).toBeLessThan(1000)
    }
  })

  test('records of transactions come when they are committed, and a drained lane has no lag', async () => {
    const topic = await client.topic(1)
    const lane = await (await open()).join({ topics: [topic], group: `g-${randomUUID()}` }).lane()
    expect(await lane.end()).toBe(0)
    const producer = client.kafka.producer({
      transactionalId: `x-${randomUUID()}`,
      maxInFlightRequests: 1,
      idempotent: true,
    })
    await producer.connect()
    const transact = async (value: string, end: 'commit' | 'abort') => {
      const transaction = await producer.transaction()
      await transaction.send({ topic, messages: [{ value }] })
      await transaction[end]()
    }
    await transact('a', 'commit')
    await transact('b', 'abort')
    await transact('c', 'commit')
    await producer.disconnect()
    const records = [...(await lane.read({ ...many, events: 1 }, patience())), ...(await lane.read(many, patience()))]
    expect(records.map(({ offset, value }) => [offset, String(value)])).toEqual([
      [0, 'a'],
      [4, 'c'],
    ])
    await eventually(async () => (await lane.end()) === 5, 'no lag')
    expect(await lane.read({ ...many, before: 6 }, patience())).toEqual([])
  })

  test('a position below the first record goes on at the first, and keeps the blocks in flight', async () => {
    const [topic, group] = [await client.topic(1), `g-${randomUUID()}`]
    await client.send(topic, ['a', 'b', 'c', 'd'])
    const first = (await open()).join({ topics: [topic], group })
    await (await first.lane()).commit({ from: 1, ends: [2, 4] })
    await first.leave()
    const admin = client.kafka.admin()
    await admin.connect()
    // Makes it look up who leads the partition.
    await admin.fetchTopicOffsets(topic)
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '3' }] })
    await admin.disconnect()
    const second = (await open()).join({ topics: [topic], group })
    const lane = await second.lane()
    expect(lane.committed).toEqual({ from: 1, ends: [2, 4] })
    expect(await lane.read({ ...many, before: 2 }, patience())).toEqual([])
    expect((await lane.read({ ...many, before: 4 }, patience())).map(({ value }) => String(value))).toEqual(['d'])
    await lane.commit({ from: 2, ends: [] })
    await second.leave()
    const third = await (await open()).join({ topics: [topic], group }).lane()
    expect(third.committed).toEqual({ from: 3, ends: [] })
  })

  test('a position beyond the end is told as what it is', async () => {
    const [topic, group] = [await client.topic(1), `g-${randomUUID()}`]
    await client.send(topic, ['a'])
    const first = (await open()).join({ topics: [topic], group })
    await (await first.lane()).commit({ from: 70, ends: [] })
    await first.leave()
    const lane = await (await open()).join({ topics: [topic], group }).lane()
    await expect(lane.read(many, patience())).rejects.toMatchObject({ constructor: Fatal, code: 'position_beyond_end' })
  })

  // Brokers let the positions of topics that no member names expire.
  test('a member that reads by a pattern names the topics that fit', async () => {
    const [topic, group] = [await client.topic(1), `g-${randomUUID()}`]
    const member = (await open()).join({ topics: [`${topic.slice(0, -3)}*`], group })
    await member.lane()
    const admin = client.kafka.admin()
    await admin.connect()
    const [described] = (await admin.describeGroups([group])).groups
    await admin.disconnect()
    const told = described?.members.map((each) => AssignerProtocol.MemberMetadata.decode(each.memberMetadata)?.topics)
    expect(told).toEqual([[topic]])
  })

  test('the lanes of a topic that is deleted end', async () => {
    const topic = await client.topic(1)
    const lane = await (await open()).join({ topics: [topic], group: `g-${randomUUID()}` }).lane()
    const reading = lane.read(many, patience()).catch((error: unknown) => error)
    const admin = client.kafka.admin()
    await admin.connect()
    await admin.deleteTopics({ topics: [topic] })
    await admin.disconnect()
    await eventually(() => lane.leaving.aborted, 'the lane to be over')
    expect(await reading).toMatchObject({ constructor: Retryable, message: expect.stringContaining('has no leader') })
  })

  test('a group that another kind of consumer uses is refused with advice', async () => {
    const [topic, group] = [await client.topic(1), `g-${randomUUID()}`]
    const consumer = client.kafka.consumer({ groupId: group })
    await consumer.connect()
    await consumer.subscribe({ topic })
    await consumer.run({ eachMessage: async () => {} })
    const joined = (await open()).join({ topics: [topic], group }).running
    await expect(joined).rejects.toMatchObject({ constructor: Fatal, code: 'group_in_use' })
    await consumer.disconnect()
  })

  test('every codec is read, as a broker writes it', async () => {
    for (const codec of ['gzip', 'snappy', 'lz4', 'zstd']) {
      const topic = await client.topic(1, [{ name: 'compression.type', value: codec }])
      const values = Array.from({ length: 500 }, (_, index) => `${codec} ${index} `.repeat(1 + (index % 40)))
      await client.send(topic, values)
      const lane = await (await open()).join({ topics: [topic], group: `g-${randomUUID()}` }).lane()
      expect(await take(lane, 500)).toEqual(values)
    }
  })
})
