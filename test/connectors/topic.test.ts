import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openEmbeddedLog } from '../../connectors/embedded-log/index.ts'
import { topic } from '../../connectors/topic.ts'
import type { Block, BlockSink } from '../../src/core/component.ts'
import type { Event, LogRecord } from '../../src/core/event.ts'
import type { EventLog } from '../../src/core/event-log.ts'
import { componentContext, eventAt, sinkContext } from '../support/sinks.ts'

let folder: string
let log: EventLog

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-topic-'))
  log = await openEmbeddedLog(folder)
})
afterEach(async () => {
  await log.close()
  await rm(folder, { recursive: true, force: true })
})

async function sink(options: object, component = 'topic'): Promise<BlockSink> {
  const made = await topic.create(options, componentContext(component, { log: async () => log }, folder))
  if (made.takes !== 'blocks') throw new Error('The topic sink takes blocks.')
  return made
}

function block(from: number, events: readonly Event[]): Block {
  const to = from + Math.max(events.length, 1)
  return { id: `${sinkContext.lane}/${from}-${to}`, lane: sinkContext.lane, from, to, events }
}

async function records(name: string): Promise<LogRecord[]> {
  const partitions = (await log.topics()).find((info) => info.name === name)?.partitions ?? []
  const read = partitions.map(({ partition, end }) =>
    end === 0 ? [] : log.read({ topic: name, partition }, 0, { events: 1_000, bytes: 1e9 }),
  )
  return (await Promise.all(read)).flat()
}

function text(bytes: Uint8Array | null | undefined): string | null {
  return bytes === null || bytes === undefined ? null : Buffer.from(bytes).toString()
}

test('appends key, value, headers and time, with the event’s id as a header', async () => {
  const out = await sink({ topic: 'out', key: 'value.customer' })
  const event = eventAt(5, {
    key: 'old',
    value: { customer: 'ada', n: 1 },
    headers: { trace: 'abc' },
    vectors: { meaning: Float32Array.of(1, 2) },
  })
  expect(await out.write(block(5, [event]), sinkContext)).toEqual([])
  const [record] = await records('out')
  expect(text(record?.key)).toBe('ada')
  expect(JSON.parse(text(record?.value) ?? '')).toEqual({ customer: 'ada', n: 1 })
  expect(record?.timestamp).toBe(1_700_000_000_005)
  expect(Object.fromEntries(Object.entries(record?.headers ?? {}).map(([name, bytes]) => [name, text(bytes)]))).toEqual(
    {
      trace: 'abc',
      'millrace-id': 'orders/0/5',
    },
  )
})

test('a tombstone stays one, under the event’s key', async () => {
  const out = await sink({ topic: 'out' })
  await out.write(block(0, [eventAt(0, { key: 'k', value: null })]), sinkContext)
  const [record] = await records('out')
  expect(record?.value).toBeNull()
  expect(text(record?.key)).toBe('k')
})

test('a block that is written again, also by another process, is there once', async () => {
  const events = [eventAt(0), eventAt(1)]
  const [first, second] = [await sink({ topic: 'out' }), await sink({ topic: 'out' })]
  await first.write(block(0, events), sinkContext)
  await second.write(block(0, events), sinkContext)
  await second.write(block(2, [eventAt(2)]), sinkContext)
  await first.write(block(0, events), sinkContext)
  expect((await records('out')).map(({ headers }) => text(headers['millrace-id'])).sort()).toEqual([
    'orders/0/0',
    'orders/0/1',
    'orders/0/2',
  ])
})

test('two topic sinks of one pipeline do not shadow each other', async () => {
  const [first, second] = [await sink({ topic: 'out' }, 'topic'), await sink({ topic: 'out' }, 'topic.2')]
  await first.write(block(0, [eventAt(0)]), sinkContext)
  await second.write(block(0, [eventAt(0)]), sinkContext)
  expect(await records('out')).toHaveLength(2)
})

test('what the topic’s schema or the key expression refuses is answered by index, and the rest is appended', async () => {
  const schema = { type: 'object', properties: { n: { type: 'number' }, k: { type: 'string' } }, required: ['n'] }
  await writeFile(join(folder, 'checked.schema.json'), JSON.stringify(schema))
  const out = await sink({ topic: 'checked', key: 'value.k' })
  const rejections = await out.write(
    block(0, [
      eventAt(0, { value: { n: 'text', k: 'a' } }),
      eventAt(1, { value: { n: 1, k: 'b' } }),
      eventAt(2, { value: { n: 2 } }),
    ]),
    sinkContext,
  )
  expect(rejections.map(({ index, code }) => [index, code])).toEqual([
    [0, 'schema_violation'],
    [2, 'expression_failed'],
  ])
  expect(rejections[0]?.message).toMatch(/topic "checked".*\/n/)
  expect((await records('checked')).map(({ key }) => text(key))).toEqual(['b'])
})

test('the topic is made with its partitions', async () => {
  await sink({ topic: 'wide', partitions: 3 })
  expect((await log.topics()).find(({ name }) => name === 'wide')?.partitions).toHaveLength(3)
})

test('the key is an expression that lint can check', () => {
  expect(topic.references({ topic: 'out', key: 'value.k' })).toEqual([
    { kind: 'expression', path: ['key'], text: 'value.k', returns: 'string' },
  ])
  expect(topic.references({ topic: 'out' })).toEqual([])
  expect(topic.main).toBe('topic')
})
