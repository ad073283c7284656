import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readBatches } from '../../../../connectors/kafka/group/record-batch.ts'
import { type Decompress, RecordQueue } from '../../../../connectors/kafka/group/record-queue.ts'
import { type LogRecord, sizeOf } from '../../../../src/core/event.ts'
import { encode, marker, offsetsOf, plain, type TestBatch, type TestRecord } from './batches.ts'

const partition = { topic: 't', partition: 3 }
const all = { events: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY }
const gunzip: Decompress = async (codec, content) => (codec === 1 ? gunzipSync(content) : content)

const bytes = fc.uint8Array({ maxLength: 200 }).map((content) => Buffer.from(content))
const record: fc.Arbitrary<TestRecord> = fc.record({
  step: fc.integer({ min: 1, max: 300 }),
  timestamp: fc.integer({ min: 0, max: 4e12 }),
  key: fc.option(bytes, { nil: null }),
  value: fc.option(bytes, { nil: null }),
  headers: fc.dictionary(fc.string({ maxLength: 20, unit: 'grapheme' }), bytes, { maxKeys: 4 }),
})
const log: fc.Arbitrary<TestBatch[]> = fc
  .tuple(
    fc.integer({ min: 0, max: 2 ** 45 }),
    fc.array(
      fc.record({
        gap: fc.nat(1000),
        records: fc.array(record, { minLength: 1, maxLength: 8 }),
        compression: fc.nat(1),
      }),
      { maxLength: 6 },
    ),
  )
  .map(([start, parts]) => {
    let base = start
    return parts.map(({ gap, records, compression }) => {
      const batch = { base: base + gap, records, compression }
      base = (offsetsOf(batch).at(-1) ?? base) + 1
      return batch
    })
  })

function expected(batches: readonly TestBatch[]) {
  return batches.flatMap((batch) => {
    const offsets = offsetsOf(batch)
    return batch.records.map(({ step, ...content }, index) => ({ ...partition, offset: offsets[index], ...content }))
  })
}

async function encodeAll(batches: readonly TestBatch[]): Promise<Buffer> {
  return Buffer.concat(await Promise.all(batches.map(encode)))
}

async function readAll(set: Buffer, from = 0): Promise<LogRecord[]> {
  const queue = new RecordQueue(partition, from, gunzip)
  queue.add(readBatches(set, []))
  return queue.take(all)
}

test('what kafkajs encodes is read as it was', async () => {
  await fc.assert(
    fc.asyncProperty(log, async (batches) => {
      const set = await encodeAll(batches)
      const records = await readAll(set)
      expect(records.map(({ headers, ...rest }) => ({ ...rest, headers: { ...headers } }))).toEqual(expected(batches))
      expect(readBatches(set, []).end).toBe(batches.length === 0 ? undefined : (records.at(-1)?.offset ?? 0) + 1)
    }),
  )
})

test('of a set that is cut off the whole batches are read', async () => {
  await fc.assert(
    fc.asyncProperty(log, fc.nat(), async (batches, cut) => {
      const encoded = await Promise.all(batches.map(encode))
      const set = Buffer.concat(encoded)
      const length = set.length === 0 ? 0 : cut % set.length
      let [whole, end] = [0, 0]
      for (const { length: size } of encoded) {
        end += size
        if (end <= length) whole++
      }
      const part = set.subarray(0, length)
      expect((await readAll(part)).map(({ offset }) => offset)).toEqual(batches.slice(0, whole).flatMap(offsetsOf))
    }),
  )
})

test('records below the offset that was asked for are left out', async () => {
  const set = await encode({ base: 10, records: ['a', 'b', 'c', 'd'].map(plain) })
  expect((await readAll(set, 12)).map(({ offset }) => offset)).toEqual([12, 13])
})

test('where the topic keeps the time of the append, every record has that', async () => {
  const set = await encode({ base: 0, records: [plain('a'), { ...plain('b'), timestamp: 99 }] })
  set.writeInt16BE(set.readInt16BE(21) | 0x08, 21)
  expect((await readAll(set)).map(({ timestamp }) => timestamp)).toEqual([99, 99])
})

test('a header named __proto__ is a header', async () => {
  const headers = Object.fromEntries([['__proto__', Buffer.from('x')]])
  const [read] = await readAll(await encode({ base: 0, records: [{ ...plain('a'), headers }] }))
  expect(Object.keys(read?.headers ?? {})).toEqual(['__proto__'])
})

test('records of before Kafka 0.11 are refused with advice', async () => {
  const set = await encode({ base: 0, records: [plain('a')] })
  set.writeInt8(1, 16)
  expect(() => readBatches(set, [])).toThrow(expect.objectContaining({ code: 'old_record_format' }))
})

type Action = { readonly producer: number; readonly do: 'write' | 'plain' | 'commit' | 'abort' }

/** Interleaved transactions of some producers: what is in the log, what was aborted, and what shall be seen. */
function transactions(actions: readonly Action[]) {
  const batches: TestBatch[] = []
  const open = new Map<number, { first: number; values: string[] }>()
  const aborted: { producer: number; first: number; end: number }[] = []
  const hidden = new Set<string>()
  for (const { producer, do: what } of actions) {
    const base = batches.length
    const value = `${producer}-${base}`
    const transaction = open.get(producer)
    if (what === 'plain') batches.push({ base, records: [plain(value)] })
    else if (what === 'write') {
      batches.push({ base, producer, transactional: true, records: [plain(value)] })
      if (transaction) transaction.values.push(value)
      else open.set(producer, { first: base, values: [value] })
    } else if (transaction) {
      const commits = what === 'commit'
      batches.push({ base, producer, transactional: true, control: true, records: [marker(commits)] })
      open.delete(producer)
      if (commits) continue
      aborted.push({ producer, first: transaction.first, end: base })
      for (const each of transaction.values) hidden.add(each)
    }
  }
  // A broker answers nothing from the first open transaction on.
  const stable = Math.min(batches.length, ...[...open.values()].map(({ first }) => first))
  const shown = batches
    .slice(0, stable)
    .filter(({ control }) => !control)
    .flatMap(({ records }) => records.map(({ value }) => String(value)))
  return { batches: batches.slice(0, stable), aborted, seen: shown.filter((value) => !hidden.has(value)) }
}

test('of transactions only what was committed is handed out, and no marker', async () => {
  const action = fc.record({
    producer: fc.nat(2),
    do: fc.constantFrom<Action['do']>('write', 'write', 'plain', 'commit', 'abort'),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(action, { maxLength: 30 }), fc.nat(), async (actions, cut) => {
      const { batches, aborted, seen } = transactions(actions)
      const queue = new RecordQueue(partition, 0, gunzip)
      // In two answers: each names the aborted transactions that reach into it.
      const at = batches.length === 0 ? 0 : cut % batches.length
      for (const part of [batches.slice(0, at), batches.slice(at)]) {
        const bounds = [part[0]?.base ?? 0, part.at(-1)?.base ?? -1] as const
        const reaching = aborted.filter(({ first, end }) => first <= bounds[1] && end >= bounds[0])
        queue.add(readBatches(await encodeAll(part), reaching))
      }
      expect((await queue.take(all)).map(({ value }) => String(value))).toEqual(seen)
      expect(queue.fetched).toBe(batches.length)
      expect(queue.empty).toBe(true)
      expect(queue.bytes).toBe(0)
    }),
  )
})

test('a queue keeps to every limit, and hands out each record once, in order', async () => {
  const limit = fc.record({
    events: fc.integer({ min: 1, max: 6 }),
    bytes: fc.integer({ min: 1, max: 600 }),
    ahead: fc.option(fc.nat(400), { nil: undefined }),
  })
  await fc.assert(
    fc.asyncProperty(log, fc.array(limit, { maxLength: 30 }), async (batches, limits) => {
      const queue = new RecordQueue(partition, 0, gunzip)
      queue.add(readBatches(await encodeAll(batches), []))
      const left = expected(batches)
      let next = left[0]?.offset ?? 0
      for (const { events, bytes: most, ahead } of limits) {
        const before = ahead === undefined ? undefined : next + ahead
        const records = await queue.take({ events, bytes: most, before })
        const size = records.reduce((sum, each) => sum + sizeOf(each), 0)
        expect(records.length).toBeLessThanOrEqual(events)
        if (records.length > 1) expect(size).toBeLessThanOrEqual(most)
        expect(records.map(({ offset }) => offset)).toEqual(left.splice(0, records.length).map(({ offset }) => offset))
        const following = left[0]?.offset
        const reachable = following !== undefined && following < (before ?? Number.POSITIVE_INFINITY)
        if (records.length === 0) expect(reachable).toBe(false)
        next = (records.at(-1)?.offset ?? next - 1) + 1
      }
    }),
  )
})

test('what cannot be read is never passed over: all before it is handed out, and nothing after it', async () => {
  const batches: TestBatch[] = [0, 1, 2].map((base) => ({
    base,
    records: [plain(String(base))],
    compression: 1,
  }))
  let broken = true
  const queue = new RecordQueue(partition, 0, async (codec, content) => {
    const unpacked = await gunzip(codec, content)
    if (broken && unpacked.includes('1')) throw new Error('incorrect data check')
    return unpacked
  })
  queue.add(readBatches(await encodeAll(batches), []))
  expect((await queue.take(all)).map(({ offset }) => offset)).toEqual([0])
  for (let attempt = 0; attempt < 3; attempt++) await expect(queue.take(all)).rejects.toThrow('incorrect data check')
  broken = false
  expect((await queue.take(all)).map(({ offset }) => offset)).toEqual([1, 2])
})

test('a record that is damaged is never passed over', async () => {
  const set = await encodeAll([{ base: 0, records: [plain('a'), plain('b')] }])
  const { batches, end } = readBatches(set, [])
  const [batch] = batches
  if (!batch) throw new Error('no batch')
  // After length, attributes, timestamp and offset: the length of the key, which leads out of the batch.
  const content = Buffer.from(batch.content)
  const second = content.length / 2
  content[second + 4] = 0x7e
  const queue = new RecordQueue(partition, 0, gunzip)
  queue.add({ batches: [{ ...batch, content }], end })
  expect((await queue.take(all)).map(({ offset }) => offset)).toEqual([0])
  for (let attempt = 0; attempt < 3; attempt++) await expect(queue.take(all)).rejects.toThrow(RangeError)
})
