import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { clickhouse, openAnalytics } from '../../../connectors/clickhouse/index.ts'
import { type Analytics, RejectedRows } from '../../../src/core/analytics.ts'
import type { Block, BlockSink } from '../../../src/core/component.ts'
import { type Event, type Json, noHeaders, noVectors } from '../../../src/core/event.ts'
import type { Services } from '../../../src/core/services.ts'
import { createExpressions } from '../../../src/expressions/index.ts'

let analytics: Analytics
let folder: string
let tables = 0

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-chdb-sink-'))
  analytics = await openAnalytics({ embedded: folder })
})
afterAll(async () => {
  await analytics.close()
  await rm(folder, { recursive: true, force: true })
})

const context = { lane: 'p/t/0', signal: new AbortController().signal }

function servicesOf(given: Analytics): Services {
  const missing = () => Promise.reject(new Error('not there'))
  return {
    serde: { codec: missing },
    log: missing,
    analytics: () => Promise.resolve(given),
    vectors: missing,
    live: missing,
    embedder: missing,
  }
}

async function sinkOf(options: object, given = analytics, component = 'clickhouse'): Promise<BlockSink> {
  const services = servicesOf(given)
  const sink = await clickhouse.create(options, {
    pipeline: 'p',
    component,
    services,
    expressions: createExpressions(),
  })
  if (sink.takes !== 'blocks') throw new Error('takes blocks')
  return sink
}

function eventOf(value: Json, offset: number, id = `t/0/${offset}`): Event {
  const position = { topic: 't', partition: 0, offset }
  return { id, key: null, value, headers: noHeaders, timestamp: 1_700_000_000_123, position, vectors: noVectors }
}

function blockOf(values: readonly Json[], from = 0): Block {
  const to = from + values.length
  return {
    id: `p/t/0/${from}-${to}`,
    lane: 'p/t/0',
    from,
    to,
    events: values.map((value, at) => eventOf(value, from + at)),
  }
}

async function rowsOf(table: string, order = '1') {
  return (await analytics.query(`SELECT * FROM ${table} ORDER BY ${order}`)).rows
}

const newTable = () => `sink_${++tables}`

describe('values', () => {
  test.each<[type: string, given: Json, stored: Json]>([
    ['String', 'a', 'a'],
    ['String', 5, '5'],
    ['String', { a: [1] }, '{"a":[1]}'],
    ['String', 'half \ud800 pair', 'half \ufffd pair'],
    ['Nullable(String)', null, null],
    ['String', null, ''],
    ['LowCardinality(Nullable(String))', 'x', 'x'],
    ['Int64', 9007199254740991, 9007199254740991],
    ['Int64', '-9223372036854775808', '-9223372036854775808'],
    ['UInt64', '18446744073709551615', '18446744073709551615'],
    ['Int32', true, 1],
    ['Int128', '170141183460469231731687303715884105727', '170141183460469231731687303715884105727'],
    ['Float64', 1.5, 1.5],
    ['Float64', '1e3', 1000],
    ['Decimal(10, 2)', '12.34', 12.34],
    ['Bool', 'true', true],
    ['Bool', 0, false],
    ['DateTime64(3)', 1_700_000_000_123, '2023-11-14 22:13:20.123'],
    ['DateTime64(3)', 5_001, '1970-01-01 00:00:05.001'],
    ['DateTime64(3)', -1, '1969-12-31 23:59:59.999'],
    ['DateTime64(3)', '2020-02-29T10:00:00+02:00', '2020-02-29 08:00:00.000'],
    ['DateTime64(3)', '2020-02-29 10:00:00', '2020-02-29 10:00:00.000'],
    ['DateTime64(9)', '2020-02-29T10:00:00.123456789Z', '2020-02-29 10:00:00.123456789'],
    ["DateTime64(3, 'Europe/Berlin')", 1_700_000_000_123, '2023-11-14 23:13:20.123'],
    ["DateTime('UTC')", 5_999, '1970-01-01 00:00:05'],
    ['Date', '2020-02-29', '2020-02-29'],
    ['Date', 1_700_000_000_123, '2023-11-14'],
    ['Date32', '1905-01-01', '1905-01-01'],
    ["Enum8('new' = 1, 'it''s' = 2)", 'new', 'new'],
    ["Enum8('new' = 1, 'old' = 2)", null, 'new'],
    ["Nullable(Enum8('new' = 1))", null, null],
    ["Enum('b', 'a')", null, 'b'],
    ['UUID', '61f0c404-5cb3-11e7-907b-a6006ad3dba0', '61f0c404-5cb3-11e7-907b-a6006ad3dba0'],
    ['Array(Int64)', [1, '9007199254740993'], [1, '9007199254740993']],
    ['Map(String, UInt64)', { a: 1 }, { a: 1 }],
    ['FixedString(3)', 'abc', 'abc'],
    ['IPv4', '10.0.0.1', '10.0.0.1'],
  ])('%s takes %j', async (type, given, stored) => {
    const table = newTable()
    const sink = await sinkOf({ table, columns: { x: type } })
    expect(await sink.write(blockOf([{ x: given }]), context)).toEqual([])
    expect(await rowsOf(table)).toEqual([{ x: stored }])
  })

  test.each<[type: string, given: Json]>([
    ['Int8', 128],
    ['UInt64', -1],
    ['Int64', '9223372036854775808'],
    ['Int64', 1.5],
    ['Int64', 'many'],
    ['Float64', 'many'],
    ['Bool', 'yes'],
    ['DateTime', -1],
    ['DateTime64(3)', '2021-02-29'],
    ['DateTime64(3)', 'tomorrow'],
    ['Date', '1960-01-01'],
    ["Enum8('new' = 1)", 'old'],
    ['UUID', 'x'],
    ['Array(Int64)', 5],
    ['Array(Int64)', ['x']],
    ['FixedString(3)', 'abcd'],
    ['IPv4', 'nowhere'],
    ['Decimal(10, 2)', 'x'],
  ])('%s refuses %j and says why', async (type, given) => {
    const table = newTable()
    const sink = await sinkOf({ table, columns: { x: type, n: 'Int64' } })
    const rejections = await sink.write(blockOf([{ x: given, n: 1 }, { n: 2 }]), context)
    expect(rejections).toEqual([{ index: 0, code: expect.any(String), message: expect.stringMatching(/\w/) }])
    expect((await rowsOf(table)).map(({ n }) => n)).toEqual([2])
  })
})

describe('columns', () => {
  test('expressions, plain fields and fields that are missing', async () => {
    const table = newTable()
    const columns = {
      at: { type: 'DateTime64(3)', from: 'timestamp' },
      id: { type: 'UInt64', from: 'offset' },
      city: { type: 'Nullable(String)', from: 'value.address.city' },
      words: { type: 'UInt32', from: 'size(value.text.split(" "))' },
      text: 'String',
    }
    const sink = await sinkOf({ table, columns, orderBy: 'id' })
    const values = [{ text: 'a b', address: { city: 'Ulm' } }, { text: 'c' }, { address: 5 }]
    const rejections = await sink.write(blockOf(values), context)
    expect(rejections).toMatchObject([{ index: 2, code: 'expression_failed' }])
    expect(await rowsOf(table, 'id')).toEqual([
      { at: '2023-11-14 22:13:20.123', id: 0, city: 'Ulm', words: 2, text: 'a b' },
      { at: '2023-11-14 22:13:20.123', id: 1, city: null, words: 1, text: 'c' },
    ])
  })

  test('references name every expression at its place', () => {
    const columns = { a: 'String', b: { type: 'String', from: 'value.x' } }
    expect(clickhouse.references({ table: 't', columns })).toEqual([
      { kind: 'field', path: ['columns', 'a'], name: 'a' },
      { kind: 'expression', path: ['columns', 'b', 'from'], text: 'value.x', returns: 'any' },
    ])
  })

  test.each([
    { table: 'a b', columns: { a: 'String' } },
    { table: 'a', columns: {} },
    { table: 'a', columns: { _id: 'String' } },
    { table: 'a', columns: { a: 'String' }, mode: 'upsert', orderBy: ['a'] },
  ])('options that cannot be meant: %j', (options) => {
    expect(clickhouse.options.safeParse(options).success).toBe(false)
  })
})

describe('exactly once', () => {
  const columns = { n: 'Int64', ip: 'IPv4' }
  /** Bad addresses are found by ClickHouse alone, not before. */
  const rowOf = (n: number, bad: boolean) => ({ n, ip: bad ? `nowhere ${n}` : '10.0.0.1' })

  test('a block that is repeated is dropped, the next one is not', async () => {
    const table = newTable()
    const sink = await sinkOf({ table, columns })
    for (const from of [0, 0, 10, 0, 10]) {
      await sink.write(
        blockOf(
          Array.from({ length: 10 }, (_, at) => rowOf(from + at, false)),
          from,
        ),
        context,
      )
    }
    expect((await rowsOf(table)).map(({ n }) => n)).toEqual(Array.from({ length: 20 }, (_, n) => n))
  })

  test('two sinks of a pipeline on one table both write', async () => {
    const table = newTable()
    for (const component of ['clickhouse', 'clickhouse.2']) {
      await (await sinkOf({ table, columns }, analytics, component)).write(blockOf([rowOf(1, false)]), context)
    }
    expect(await rowsOf(table)).toHaveLength(2)
  })

  test.each([
    ['one', 200, [77]],
    ['first and last', 200, [0, 199]],
    ['many', 200, Array.from({ length: 40 }, (_, at) => at * 5)],
    ['all', 30, Array.from({ length: 30 }, (_, at) => at)],
    ['the only one', 1, [0]],
    ['all but one', 30, Array.from({ length: 29 }, (_, at) => at)],
  ])('bad rows are told apart: %s', async (_, size, bad) => {
    const table = newTable()
    const sink = await sinkOf({ table, columns })
    const block = blockOf(Array.from({ length: size }, (_, n) => rowOf(n, bad.includes(n))))
    const good = block.events.map((_, n) => n).filter((n) => !bad.includes(n))
    for (let repeated = 0; repeated < 3; repeated += 1) {
      const rejections = await sink.write(block, context)
      expect(rejections.map(({ index }) => index)).toEqual(bad)
      expect(rejections[0]?.message).toMatch(/nowhere|IPv4/)
      expect((await rowsOf(table)).map(({ n }) => n)).toEqual(good)
    }
  })

  test('stopped at any insert on the way and repeated', async () => {
    const bad = [3, 17, 18, 40]
    const block = blockOf(Array.from({ length: 50 }, (_, n) => rowOf(n, bad.includes(n))))
    const good = block.events.map((_, n) => n).filter((n) => !bad.includes(n))
    for (const blames of [true, false]) {
      for (let stop = 1; stop < 16; stop += 2) {
        const table = newTable()
        const stopping = stoppingAfter(stop, blames)
        await (await sinkOf({ table, columns }, stopping)).write(block, context).catch(() => undefined)
        const rejections = await (
          await sinkOf({ table, columns }, stoppingAfter(Number.POSITIVE_INFINITY, blames))
        ).write(block, context)
        expect(rejections.map(({ index }) => index)).toEqual(bad)
        expect((await rowsOf(table)).map(({ n }) => n)).toEqual(good)
      }
    }
  })

  /** The same analytics, which fail after so many inserts, the last of which arrives; and may not say which row is bad. */
  function stoppingAfter(inserts: number, blames: boolean): Analytics {
    let done = 0
    return {
      ensureTable: (spec) => analytics.ensureTable(spec),
      query: (sql, params, signal) => analytics.query(sql, params, signal),
      changes: (tables, signal) => analytics.changes(tables, signal),
      tables: () => analytics.tables(),
      close: () => Promise.resolve(),
      insert: async (table, rows, token) => {
        if (++done > inserts) throw new Error('stopped')
        try {
          await analytics.insert(table, rows, token)
        } catch (error) {
          if (!(error instanceof RejectedRows) || blames) throw error
          throw new RejectedRows({ code: error.code, message: error.message })
        }
        if (done === inserts) throw new Error('stopped')
      },
    }
  }
})

describe('tombstones', () => {
  test('append goes past them', async () => {
    const table = newTable()
    const sink = await sinkOf({ table, columns: { n: 'Int64' } })
    expect(await sink.write(blockOf([{ n: 1 }, null, { n: 2 }]), context)).toEqual([])
    expect(await rowsOf(table)).toEqual([{ n: 1 }, { n: 2 }])
  })

  test('upsert replaces and deletes by the id of the event', async () => {
    const table = newTable()
    const sink = await sinkOf({ table, mode: 'upsert', columns: { n: 'Int64' } })
    const events = [
      eventOf({ n: 1 }, 0, 'a'),
      eventOf({ n: 2 }, 1, 'b'),
      eventOf({ n: 3 }, 2, 'a'),
      eventOf(null, 3, 'b'),
      eventOf({ n: 4 }, 4, 'c'),
    ]
    const block = { id: 'p/t/0/0-5', lane: 'p/t/0', from: 0, to: 5, events }
    for (let repeated = 0; repeated < 2; repeated += 1) expect(await sink.write(block, context)).toEqual([])
    expect(await rowsOf(table)).toEqual([{ n: 3 }, { n: 4 }])
    const later = { ...block, id: 'p/t/0/5-6', events: [eventOf({ n: 5 }, 5, 'b')] }
    await sink.write(later, context)
    expect(await rowsOf(table)).toEqual([{ n: 3 }, { n: 4 }, { n: 5 }])
  })
})
