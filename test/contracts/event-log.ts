import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Fenced, InvalidInput, NotFound } from '../../src/core/errors.ts'
import type { EventLog, SourceOptions } from '../../src/core/event-log.ts'
import { bytes, entries, eventually, Member, many, readAll, take, text } from './event-log-member.ts'
import { eventLogModel } from './event-log-model.ts'

export interface EventLogStorage {
  /** Opens the log on the same storage each time. */
  open(): Promise<EventLog>
  remove(): Promise<void>
}

export interface EventLogContractOptions {
  /** How many random histories to compare with the model. */
  readonly runs?: number
}

/** What every event log must hold to. Topics and groups have fresh names, so that a shared cluster may serve. */
export function eventLogContract(
  name: string,
  prepare: () => Promise<EventLogStorage>,
  { runs = 15 }: EventLogContractOptions = {},
): void {
  describe(`${name} is an event log`, () => {
    let storage: EventLogStorage
    let log: EventLog
    let members: Member[] = []

    beforeEach(async () => {
      storage = await prepare()
      log = await storage.open()
      members = []
    })
    afterEach(async () => {
      await Promise.all(members.map((member) => member.leave()))
      await log.close()
      await storage.remove()
    })

    async function topicOf(partitions = 1): Promise<string> {
      const topic = `t-${randomUUID()}`
      await log.ensureTopic(topic, { partitions })
      return topic
    }
    function join(options: Partial<SourceOptions> & { topics: readonly string[] }): Member {
      const member = new Member(log, { group: `g-${randomUUID()}`, ...options })
      members.push(member)
      return member
    }
    const append = (topic: string, ...values: string[]) =>
      log.append(
        topic,
        values.map((value) => ({ key: null, value: bytes(value), partition: 0 })),
      )
    async function reopen(): Promise<void> {
      await Promise.all(members.splice(0).map((member) => member.leave()))
      await log.close()
      log = await storage.open()
    }

    describe('append and read', () => {
      test('records come back whole, under the positions that were answered, also after a restart', async () => {
        const topic = await topicOf()
        const before = Date.now()
        const positions = await log.append(topic, [
          { key: bytes('k'), value: bytes('v'), headers: { a: bytes('1'), b: Buffer.alloc(0) }, timestamp: 123_456 },
          { key: null, value: null },
          { key: Buffer.alloc(0), value: Buffer.alloc(0) },
          { key: Buffer.from([0, 255, 128]), value: Buffer.alloc(200_000, 7) },
        ])
        await reopen()
        const records = await readAll(log, topic)
        expect(records.map(({ offset }) => ({ topic, partition: 0, offset }))).toEqual(positions)
        expect(records.map(({ key }) => key && Buffer.from(key).toString('hex'))).toEqual(['6b', null, '', '00ff80'])
        expect(records.map(({ value }) => value?.length)).toEqual([1, undefined, 0, 200_000])
        expect(records[0]?.timestamp).toBe(123_456)
        expect(records[1]?.timestamp).toBeGreaterThanOrEqual(before)
        expect(text(records[0]?.headers.a ?? null)).toBe('1')
        expect(Object.keys(records[0]?.headers ?? {})).toEqual(['a', 'b'])
        expect(records[1]?.headers).toEqual({})
      })

      test('offsets ascend in the order of appending, with concurrent appends whole and unmixed', async () => {
        const topic = await topicOf()
        const answers = await Promise.all(
          Array.from({ length: 40 }, (_, call) => append(topic, `${call}a`, `${call}b`, `${call}c`)),
        )
        const records = await readAll(log, topic)
        expect(new Set(answers.flat().map(({ offset }) => offset)).size).toBe(120)
        const byOffset = new Map(records.map((record) => [record.offset, text(record.value)]))
        for (const [call, positions] of answers.entries()) {
          expect(positions.map(({ offset }) => byOffset.get(offset))).toEqual([`${call}a`, `${call}b`, `${call}c`])
          expect(positions.map(({ offset }) => offset)).toEqual(
            positions.map(({ offset }) => offset).sort((a, b) => a - b),
          )
        }
      })

      test('a key decides the partition as it does on Kafka; records without a key go round', async () => {
        const topic = await topicOf(7)
        // Hashes from Apache Kafka's own tests of murmur2 (UtilsTest.testMurmur2).
        const hashes = {
          '21': -973932308,
          foobar: -790332482,
          'a-little-bit-long-string': -985981536,
          'a-little-bit-longer-string': -1486304829,
          lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8: -58897971,
          abc: 479470107,
        }
        const positions = await log.append(
          topic,
          Object.keys(hashes).map((key) => ({ key: bytes(key), value: null })),
        )
        expect(positions.map(({ partition }) => partition)).toEqual(
          Object.values(hashes).map((hash) => (hash & 0x7fffffff) % 7),
        )
        const turns = await log.append(
          topic,
          Array.from({ length: 70 }, () => ({ key: null, value: bytes('x') })),
        )
        expect(new Set(turns.map(({ partition }) => partition)).size).toBe(7)
        await expect(log.append(topic, [{ key: null, value: null, partition: 7 }])).rejects.toBeInstanceOf(InvalidInput)
      })

      test('a read keeps to its limits but gives at least one record', async () => {
        const topic = await topicOf()
        const positions = await append(topic, 'a'.repeat(100), 'b'.repeat(100), 'c'.repeat(100), 'd')
        const at = (index: number) => positions[index]?.offset ?? -1
        const read = async (from: number, limit: Partial<typeof many> & { before?: number }) =>
          (await log.read({ topic, partition: 0 }, from, { ...many, ...limit }))
            .map(({ value }) => text(value)?.[0])
            .join('')
        expect(await read(at(0), { events: 2 })).toBe('ab')
        expect(await read(at(1), { bytes: 200 })).toBe('bc')
        expect(await read(at(1), { bytes: 1 })).toBe('b')
        expect(await read(at(0), { before: at(2) })).toBe('ab')
        expect(await read(at(2), { before: at(2) })).toBe('')
        expect(await read(at(3) + 1, {})).toBe('')
      })

      test('a topic that was never created is not found', async () => {
        const topic = await topicOf()
        await expect(log.append(`${topic}x`, [{ key: null, value: null }])).rejects.toMatchObject({
          constructor: NotFound,
          code: 'topic_not_found',
        })
      })

      test('headers count for the limit of a read, so that a batch of them is bounded too', async () => {
        const topic = await topicOf()
        const headers = { note: Buffer.alloc(1000) }
        await log.append(
          topic,
          [1, 2, 3].map(() => ({ key: null, value: null, headers, partition: 0 })),
        )
        const read = async (limit: number) =>
          (await log.read({ topic, partition: 0 }, 0, { events: 10, bytes: limit })).length
        expect([await read(10), await read(1500), await read(2500), await read(1e6)]).toEqual([1, 1, 2, 3])
      })
    })

    describe('exactly once', () => {
      test('a repeated append is dropped with its state, in this life and the next', async () => {
        const topic = await topicOf()
        const write = (sequence: number, value: string) =>
          log.append(topic, [{ key: null, value: bytes(value) }], {
            once: { producer: topic, sequence },
            state: { scope: topic, changes: [{ key: 'last', value }] },
          })
        expect(await write(5, 'a')).toHaveLength(1)
        expect(await write(5, 'b')).toEqual([])
        await reopen()
        expect(await write(4, 'c')).toEqual([])
        expect(await entries(log.state(topic))).toEqual({ last: 'a' })
        expect(await write(6, 'd')).toHaveLength(1)
        expect((await readAll(log, topic)).map(({ value }) => text(value))).toEqual(['a', 'd'])
        expect(await entries(log.state(topic))).toEqual({ last: 'd' })
      })

      test('of a repeated append in which each record has its sequence, the new records are taken', async () => {
        const topic = await topicOf(2)
        const write = (...sequence: number[]) =>
          log.append(
            topic,
            sequence.map((each) => ({ key: null, value: bytes(String(each)), partition: each % 2 })),
            { once: { producer: topic, sequence } },
          )
        expect(await write(1, 3, 3, 4)).toHaveLength(4)
        expect(await write(1, 4)).toEqual([])
        await reopen()
        const taken = await write(3, 4, 6, 7)
        expect(taken.map(({ partition }) => partition)).toEqual([0, 1])
        const [even, odd] = [await readAll(log, topic, 0), await readAll(log, topic, 1)]
        expect(even.map(({ value }) => text(value))).toEqual(['4', '6'])
        expect(odd.map(({ value }) => text(value))).toEqual(['1', '3', '3', '7'])
        expect([even.at(-1)?.offset, odd.at(-1)?.offset]).toEqual(taken.map(({ offset }) => offset))
      })

      test('state is kept by scope, in order of its keys', async () => {
        const topic = await topicOf()
        const long = 'x'.repeat(5000)
        const set = (scope: string, ...changes: { key: string; value: string | undefined }[]) =>
          log.append(topic, [], { state: { scope: topic + scope, changes } })
        await set(
          '1',
          { key: 'b', value: 'B' },
          { key: 'a', value: 'A' },
          { key: 'ab', value: 'AB' },
          { key: long, value: 'L' },
        )
        await set('2', { key: 'a', value: 'other' })
        await set('1', { key: 'b', value: undefined })
        await reopen()
        const state = log.state(`${topic}1`)
        expect(await state.get(['a', 'b', long])).toEqual(['A', undefined, 'L'])
        expect(Object.entries(await entries(state))).toEqual([
          ['a', 'A'],
          ['ab', 'AB'],
          [long, 'L'],
        ])
        expect(Object.keys(await entries(state, 'ab'))).toEqual(['ab'])
        expect(await entries(log.state(`${topic}2`))).toEqual({ a: 'other' })
      })
    })

    describe('topics', () => {
      test('are listed with their size; partitions become more, never fewer', async () => {
        const topic = await topicOf(2)
        await append(topic, 'a')
        await append(topic, 'b')
        await log.ensureTopic(topic, { partitions: 3, retentionMs: 0 })
        await log.ensureTopic(topic, { partitions: 1 })
        const info = (await log.topics()).find(({ name }) => name === topic)
        expect(info?.config).toMatchObject({ partitions: 3, retentionMs: 0 })
        const [first, second] = info?.partitions ?? []
        expect(first).toMatchObject({ partition: 0, start: 0, records: 2 })
        expect(first?.bytes).toBeGreaterThan(0)
        expect(second).toMatchObject({ partition: 1, records: 0 })
        expect(info?.partitions).toHaveLength(3)
        await expect(log.ensureTopic('no blanks')).rejects.toBeInstanceOf(InvalidInput)
        await expect(log.ensureTopic(topic, { partitions: 0.5 })).rejects.toBeInstanceOf(InvalidInput)
      })

      test('whoever waits for growth is woken by an append, and by its signal', async () => {
        const [topic, other] = [await topicOf(), await topicOf()]
        const grown = log.grown([other, topic], AbortSignal.timeout(20_000))
        await append(topic, 'a')
        await grown
        expect(await readAll(log, topic)).toHaveLength(1)
        const stop = new AbortController()
        const waiting = log.grown([topic], stop.signal)
        stop.abort()
        await waiting
      })
    })

    describe('a group', () => {
      test('goes on where it committed, with the blocks in flight and the state of that commit', async () => {
        const [topic, group] = [await topicOf(), `g-${randomUUID()}`]
        const positions = await append(topic, 'a', 'b', 'c', 'd')
        const first = await join({ topics: [topic], group }).lane()
        expect(first.partition).toEqual({ topic, partition: 0 })
        expect(first.committed).toEqual({ from: positions[0]?.offset, ends: [] })
        await take(first, 4)
        const [from = 0, end = 0] = [positions[1]?.offset, positions[3]?.offset]
        await first.commit({ from, ends: [from + 1, end] }, [
          { key: 'seen', value: 1 },
          { key: 'gone', value: 2 },
        ])
        await first.commit({ from, ends: [from + 1, end] }, [{ key: 'gone', value: undefined }])
        expect(await log.groups()).toContainEqual({
          group,
          partition: first.partition,
          committed: { from, ends: [from + 1, end] },
        })
        await reopen()
        const second = await join({ topics: [topic], group }).lane()
        expect(second.committed).toEqual({ from, ends: [from + 1, end] })
        expect(await entries(second.state)).toEqual({ seen: 1 })
        expect((await take(second, 3)).map(({ value }) => text(value))).toEqual(['b', 'c', 'd'])
        expect(await second.end()).toBeGreaterThan(end)
        second.assertOwned()
      })

      test('begins at the earliest or the latest record, and groups do not disturb each other', async () => {
        const topic = await topicOf()
        await append(topic, 'a')
        const [early, late] = [join({ topics: [topic] }), join({ topics: [topic], start: 'latest' })]
        const [earlyLane, lateLane] = [await early.lane(), await late.lane()]
        await append(topic, 'b')
        expect((await take(lateLane, 1)).map(({ value }) => text(value))).toEqual(['b'])
        expect((await take(earlyLane, 2)).map(({ value }) => text(value))).toEqual(['a', 'b'])
      })

      test('a read waits for records, and ends empty by its signal or below its bound', async () => {
        const topic = await topicOf()
        const lane = await join({ topics: [topic] }).lane()
        const reading = take(lane, 1)
        const [position] = await append(topic, 'a')
        expect((await reading).map(({ offset }) => offset)).toEqual([position?.offset])
        const stop = new AbortController()
        const waiting = lane.read(many, stop.signal)
        stop.abort()
        expect(await waiting).toEqual([])
        const next = await lane.end()
        expect(await lane.read({ ...many, before: next }, AbortSignal.timeout(20_000))).toEqual([])
        await append(topic, 'b')
        expect((await take(lane, 1)).map(({ value }) => text(value))).toEqual(['b'])
      })

      test('shares partitions evenly, each held by one member, and hands them on when one leaves', async () => {
        const [topics, group] = [[await topicOf(4), await topicOf(1)], `g-${randomUUID()}`]
        const first = join({ topics, group })
        const original = await first.holds(5)
        const second = join({ topics, group })
        await eventually(() => second.lanes.length === 2 && first.lanes.length === 3, 'an even share')
        const held = [...first.lanes, ...second.lanes].map(
          ({ partition }) => `${partition.topic}/${partition.partition}`,
        )
        expect(new Set(held).size).toBe(5)
        const [lost] = original.filter((lane) => lane.revoked.aborted)
        await expect(lost?.commit({ from: 0, ends: [] })).rejects.toBeInstanceOf(Fenced)
        expect(() => lost?.assertOwned()).toThrow(Fenced)
        await first.leave()
        await second.holds(5)
      })

      test('lets a member that stopped finish what it has in hand, until another one has the partition', async () => {
        const [topic, group] = [await topicOf(), `g-${randomUUID()}`]
        await append(topic, 'a', 'b')
        const first = join({ topics: [topic], group })
        const lane = await first.lane()
        await first.stop()
        lane.assertOwned()
        await lane.commit({ from: 1, ends: [2] }, [{ key: 'seen', value: 1 }])
        const second = await join({ topics: [topic], group }).lane()
        expect(second.committed).toEqual({ from: 1, ends: [2] })
        await expect(lane.commit({ from: 2, ends: [] }, [{ key: 'seen', value: 2 }])).rejects.toBeInstanceOf(Fenced)
        expect(lane.revoked.aborted).toBe(true)
        expect(() => lane.assertOwned()).toThrow(Fenced)
        await second.commit({ from: 2, ends: [] })
        expect(await second.state.get(['seen'])).toEqual([1])
      })

      test('hands a partition on at once when its lane is released', async () => {
        const [topic, group] = [await topicOf(), `g-${randomUUID()}`]
        const first = join({ topics: [topic], group })
        const lane = await first.lane()
        await lane.commit({ from: 0, ends: [] })
        await first.stop()
        await lane.release()
        await join({ topics: [topic], group }).lane()
      })

      test('reads the topics that fit a pattern, also those that are created later', async () => {
        const prefix = `p-${randomUUID()}`
        await log.ensureTopic(`${prefix}.a`)
        await log.ensureTopic(`${prefix}.a.dlq`)
        const member = join({ topics: [`${prefix}.*`] })
        await member.holds(1)
        await log.ensureTopic(`${prefix}.b`)
        const lanes = await member.holds(2)
        expect(lanes.map(({ partition }) => partition.topic).sort()).toEqual([`${prefix}.a`, `${prefix}.b`])
      })

      test('finds new partitions of a topic', async () => {
        const topic = await topicOf(1)
        const member = join({ topics: [topic] })
        await member.holds(1)
        await log.ensureTopic(topic, { partitions: 3 })
        await member.holds(3)
      })
    })

    test('any history of appends, reads, commits and restarts is that of the model', async () => {
      await eventLogModel({ open: storage.open, runs })
    })
  })
}
