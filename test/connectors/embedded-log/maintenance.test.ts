import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type EmbeddedLogOptions, openEmbeddedLog } from '../../../connectors/embedded-log/index.ts'
import type { EventLog, TopicInfo } from '../../../src/core/event-log.ts'
import { bytes, eventually, Member, many, readAll, take, text } from '../../contracts/event-log-member.ts'

let folder: string
let log: EventLog

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-log-'))
})
afterEach(async () => {
  await log.close()
  await rm(folder, { recursive: true })
})

async function open(options: EmbeddedLogOptions = {}): Promise<void> {
  log = await openEmbeddedLog(folder, { maintenanceMs: 10, compactAfter: 1, ...options })
}
/** So that one pass sees everything that was appended before. */
async function reopen(options: EmbeddedLogOptions = {}): Promise<void> {
  await log.close()
  await open(options)
}
async function partition(topic: string): Promise<TopicInfo['partitions'][number]> {
  const [first] = (await log.topics()).find(({ name }) => name === topic)?.partitions ?? []
  if (!first) throw new Error(`no topic ${topic}`)
  return first
}
async function append(topic: string, count: number, size = 10): Promise<void> {
  const value = Buffer.alloc(size, 'x')
  await log.append(
    topic,
    Array.from({ length: count }, () => ({ key: null, value })),
  )
}
async function put(topic: string, entries: readonly (readonly [string | null, string | null])[]): Promise<void> {
  await log.append(
    topic,
    entries.map(([key, value]) => ({
      key: key === null ? null : bytes(key),
      value: value === null ? null : bytes(value),
    })),
  )
}
const contents = async (topic: string) =>
  (await readAll(log, topic)).map(({ key, value, offset }) => [text(key), text(value), offset])

test('records older than the retention time go, and readers that are behind continue at the start', async () => {
  await open()
  await log.ensureTopic('t', { retentionMs: 1000 })
  // Its own timestamp is of no account: it was appended just now.
  await log.append('t', [{ key: null, value: bytes('old'), timestamp: 5 }])
  const member = new Member(log, { topics: ['t'], group: 'g' })
  const lane = await member.lane()
  expect(await readAll(log, 't')).toHaveLength(1)
  await eventually(async () => (await partition('t')).start === 1, 'retention')
  expect(await partition('t')).toMatchObject({ start: 1, end: 1, records: 0, bytes: 0 })
  await log.append('t', [{ key: null, value: bytes('new') }])
  expect((await take(lane, 1)).map(({ value, offset }) => [text(value), offset])).toEqual([['new', 1]])
  await member.leave()
})

test('a group whose records expired while it was away is not behind for ever; a block in flight keeps its start', async () => {
  await open()
  await log.ensureTopic('t', { retentionMs: 1000 })
  await append('t', 5)
  for (const [group, ends] of [
    ['idle', []],
    ['busy', [4]],
  ] as const) {
    const member = new Member(log, { topics: ['t'], group })
    await (await member.lane()).commit({ from: 2, ends })
    await member.leave()
  }
  await eventually(async () => (await partition('t')).start === 5, 'retention')
  const idle = new Member(log, { topics: ['t'], group: 'idle' })
  const busy = new Member(log, { topics: ['t'], group: 'busy' })
  expect((await idle.lane()).committed).toEqual({ from: 5, ends: [] })
  expect((await busy.lane()).committed).toEqual({ from: 2, ends: [4] })
  await Promise.all([idle.leave(), busy.leave()])
})

test('a partition that is too large drops its oldest records only', async () => {
  await open()
  await log.ensureTopic('t', { retentionBytes: 300_000 })
  await log.ensureTopic('unbounded')
  for (let call = 0; call < 40; call++) await Promise.all([append('t', 100, 1000), append('unbounded', 100, 1000)])
  await eventually(async () => (await partition('t')).bytes <= 300_000, 'retention')
  const { start, end, records, bytes: size } = await partition('t')
  expect(end).toBe(4000)
  expect(size).toBeGreaterThan(200_000)
  expect(records).toBe(end - start)
  const [first] = await log.read({ topic: 't', partition: 0 }, 0, many)
  expect(first?.offset).toBe(start)
  expect((await readAll(log, 't')).length).toBe(records)
  expect((await readAll(log, 'unbounded')).length).toBe(4000)
})

test('retention beside appends and reads: nothing that is kept is lost, and the file is used again', async () => {
  await open({ maintenanceMs: 1 })
  await log.ensureTopic('t', { retentionBytes: 500_000 })
  const member = new Member(log, { topics: ['t'], group: 'g' })
  const lane = await member.lane()
  let next = 0
  for (let call = 0; call < 150; call++) {
    await Promise.all([append('t', 50, 1000), append('t', 50, 1000)])
    const records = await lane.read({ events: 100, bytes: 1e6 }, AbortSignal.timeout(10_000))
    const { start } = await partition('t')
    for (const [index, { offset }] of records.entries())
      if (index > 0) expect(offset).toBe((records[index - 1]?.offset ?? 0) + 1)
    const first = records[0]?.offset ?? -1
    expect(first === next || (first > next && first <= start)).toBe(true)
    next = (records.at(-1)?.offset ?? 0) + 1
  }
  await member.leave()
  const { records, start, end } = await partition('t')
  expect(end).toBe(15_000)
  expect(records).toBe(end - start)
})

test('compaction keeps the newest record of each key, records without a key, and all offsets', async () => {
  await open({ maintenanceMs: 1e6 })
  await log.ensureTopic('t', { compact: true })
  await put('t', [
    ['a', '1'],
    ['b', '1'],
    [null, 'keyless'],
    ['a', '2'],
  ])
  await put('t', [
    ['b', '2'],
    ['c', '1'],
    ['d', '1'],
  ])
  await put('t', [
    ['c', null],
    ['x'.repeat(500), '1'],
  ])
  await put('t', [['x'.repeat(500), '2']])
  await put('t', [['last', '1']])
  await reopen()
  await eventually(async () => (await partition('t')).records === 7, 'compaction')
  expect(await contents('t')).toEqual([
    [null, 'keyless', 2],
    ['a', '2', 3],
    ['b', '2', 4],
    ['d', '1', 6],
    ['c', null, 7],
    ['x'.repeat(500), '2', 9],
    ['last', '1', 10],
  ])
  expect(await partition('t')).toMatchObject({ start: 2, end: 11 })
})

test('a lane reads across the holes of compaction and stops at its bound inside one', async () => {
  await open({ maintenanceMs: 1e6 })
  await log.ensureTopic('t', { compact: true })
  for (let n = 0; n < 10; n++) await put('t', [['a', String(n)]])
  await put('t', [['b', 'end']])
  await reopen()
  await eventually(async () => (await partition('t')).records === 2, 'compaction')
  const member = new Member(log, { topics: ['t'], group: 'g' })
  const lane = await member.lane()
  const signal = AbortSignal.timeout(10_000)
  expect(await lane.read({ ...many, before: 5 }, signal)).toEqual([])
  expect((await take(lane, 2)).map(({ offset }) => offset)).toEqual([9, 10])
  await member.leave()
})

test('a tombstone goes after its time, and its key with it', async () => {
  await open({ maintenanceMs: 1e6 })
  await log.ensureTopic('t', { compact: true })
  await put('t', [
    ['a', '1'],
    ['b', '1'],
  ])
  await put('t', [['a', null]])
  for (let n = 0; n < 5; n++) await put('t', [['c', String(n)]])
  await reopen({ tombstoneMs: 0 })
  await eventually(async () => (await partition('t')).records === 3, 'compaction')
  expect(await contents('t')).toEqual([
    ['b', '1', 1],
    ['c', '3', 6],
    ['c', '4', 7],
  ])
})

test('whatever is compacted whenever, the newest value of each key is what was put last', async () => {
  const entry = fc.tuple(fc.option(fc.constantFrom('a', 'b', 'c', 'd')), fc.option(fc.string({ maxLength: 5 })))
  await open({ maintenanceMs: 1 })
  let run = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(entry, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 12 }),
      async (batches) => {
        const topic = `t${run++}`
        await log.ensureTopic(topic, { compact: true })
        for (const batch of batches) await put(topic, batch)
        await new Promise((resolve) => setTimeout(resolve, 20))
        const all = batches
          .flat()
          .map(([key, value], offset) => [key, value === null ? null : bytes(value).toString(), offset])
        const kept = await contents(topic)
        expect(all).toEqual(expect.arrayContaining(kept))
        const newest = (records: unknown[][]) =>
          new Map(records.filter(([key]) => key !== null).map((record) => [record[0], record]))
        expect(newest(kept)).toEqual(newest(all))
        const keyless = (records: unknown[][]) => records.filter(([key]) => key === null)
        expect(keyless(kept)).toEqual(keyless(all))
        await eventually(
          async () => (await partition(topic)).records === (await contents(topic)).length,
          'the right count',
        )
      },
    ),
    { numRuns: 30 },
  )
})
