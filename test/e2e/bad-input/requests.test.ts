import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { z } from 'zod'
import { openEmbeddedLog } from '../../../connectors/embedded-log/index.ts'
import { type RunningCli, runCli, startCli } from '../../support/cli.ts'
import {
  column,
  eventually,
  expectNoTrace,
  pipelineStatus,
  plainPipeline,
  post,
  problemOf,
  project,
  publish,
  query,
} from './support.ts'

const schema = {
  type: 'object',
  properties: { n: { type: 'integer' }, customer: { type: 'string' } },
  required: ['n'],
  additionalProperties: false,
}
const texts = `
name: texts
source: { topic: texts }
processors:
  - embed: { text: value.text, as: meaning }
sinks:
  - vectors: { collection: texts, vector: meaning, fields: [category] }
`
const poisoned = `
name: poisoned
source: { topic: poisoned }
processors:
  - map: { n: value.n, at: value.at, share: 10 / value.n }
sinks:
  - clickhouse: { table: poisoned, columns: { n: UInt8, at: DateTime, share: Float64 } }
  - live: poisoned
block: { age: 100ms }
`

let folder: Awaited<ReturnType<typeof project>>
let server: RunningCli
let address: string
let published = 0

beforeAll(async () => {
  folder = await project({
    'pipelines/orders.yaml': plainPipeline('orders', { n: 'UInt32' }),
    'pipelines/texts.yaml': texts,
    'pipelines/poisoned.yaml': poisoned,
    'schemas/orders.schema.json': JSON.stringify(schema),
  })
  server = await startCli(['run'], { cwd: folder.path })
  address = server.address
  await eventually(async () => expect((await fetch(`${address}/readyz`)).status).toBe(200))
  await publish(
    address,
    'texts',
    { text: 'charged twice', category: 'billing' },
    { text: 'all is down', category: 'outage' },
  )
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})

/** Publishes a good order before and after the incident; the table must end up with all of these and nothing else. */
async function around<T>(incident: () => Promise<T>): Promise<T> {
  await publish(address, 'orders', { n: published++ })
  const result = await incident()
  await publish(address, 'orders', { n: published++ })
  return result
}

/** That all good orders, and none of the bad ones, are in ClickHouse. */
async function expectOrders(): Promise<void> {
  const expected = Array.from({ length: published }, (_, n) => n)
  await eventually(async () => expect(await column(address, 'orders', 'n')).toEqual(expected))
  expect(await pipelineStatus(address, 'orders')).toMatchObject({ state: 'running' })
}

describe('publishing', () => {
  const events = () => `${address}/v1/topics/orders/events`

  test.each([
    ['cut short', '{"n": 1', 'it ends too early at line 1, column 8'],
    ['in single quotes', "{'n': 1}", 'at line 1, column 2'],
    ['with a comma too many', '[\n  {"n": 1},\n]', 'at line 3, column 1'],
    ['with a literal tab in a text', '{"customer": "a\tb"}', 'at line 1, column'],
  ])('JSON %s', async (_what, body, where) => {
    const { status, code, detail } = await around(async () => problemOf(await post(events(), body)))
    expect({ status, code }).toEqual({ status: 400, code: 'bad_json' })
    expect(detail).toContain(where)
    await expectOrders()
  })

  test('of NDJSON each bad line is named, and none of the good ones is taken', async () => {
    const body = '{"n": 9001}\n{"n": 9002\n{"n": 9003}\n'
    const { status, errors } = await around(async () => problemOf(await post(events(), body, 'application/x-ndjson')))
    expect(status).toBe(422)
    expect(errors).toMatchObject([{ index: 1, message: expect.stringContaining('line 2') }])
    await expectOrders()
  })

  test('bytes that are not UTF-8', async () => {
    const { status, code } = await around(async () =>
      problemOf(await post(events(), new Uint8Array([0x22, 0xff, 0x22]))),
    )
    expect({ status, code }).toEqual({ status: 400, code: 'bad_encoding' })
    await expectOrders()
  })

  test('an unknown topic is answered with the nearest name', async () => {
    const { status, code, detail, hint } = await problemOf(await post(`${address}/v1/topics/ordrs/events`, '{"n":1}'))
    expect({ status, code }).toEqual({ status: 404, code: 'topic_not_found' })
    expect(detail).toContain('did you mean "orders"?')
    expect(hint).toContain('POST /v1/topics')
    const { topics } = z
      .object({ topics: z.array(z.object({ name: z.string() })) })
      .parse(await (await fetch(`${address}/v1/topics`)).json())
    expect(topics.map(({ name }) => name)).not.toContain('ordrs')
  })

  test('events that break the schema are named by index and place, with the nearest field; all or none', async () => {
    const body = JSON.stringify([{ n: 9001 }, { n: 9002, custmer: 'ann' }, { n: 'many' }, {}])
    const { status, code, errors } = await around(async () => problemOf(await post(events(), body)))
    expect({ status, code }).toEqual({ status: 422, code: 'invalid_events' })
    expect(errors).toMatchObject([
      { index: 1, pointer: '/custmer', message: expect.stringContaining('did you mean "customer"?') },
      { index: 2, pointer: '/n', message: 'must be integer' },
      { index: 3, pointer: '/n', message: 'is missing' },
    ])
    await expectOrders()
  })

  test('100 MB with its length declared is refused before it is sent', async () => {
    const { status, code, detail, hint } = await around(async () =>
      problemOf(await post(events(), new Uint8Array(100_000_000))),
    )
    expect({ status, code }).toEqual({ status: 413, code: 'body_too_large' })
    expect(detail).toContain('100 MB')
    expect(hint).toContain('several requests')
    await expectOrders()
  })

  test('100 MB without a length, ten at a time, take no memory and hold up no small request', async () => {
    const before = await residentBytes()
    await around(async () => {
      const release = new AbortController()
      const floods = Array.from({ length: 10 }, () => post(events(), slowly(100_000_000, release.signal)))
      // Each has begun, and holds the room that it may need.
      await delay(200)
      for (let beside = 0; beside < 5; beside++) await publish(address, 'orders', { n: published++ })
      release.abort()
      for (const flood of floods) {
        // Whoever goes on sending may find the connection closed before it has read the answer.
        const response = await flood.catch(() => undefined)
        if (response)
          expect(await problemOf(response)).toMatchObject({
            code: expect.stringMatching(/^(body_too_large|overloaded)$/),
          })
      }
    })
    expect((await residentBytes()) - before).toBeLessThan(400_000_000)
    await expectOrders()
  })
})

describe('asking', () => {
  test.each([
    ['an unknown collection', 'texs', { text: 'x' }, 404, 'collection_not_found', 'did you mean "texts"?'],
    [
      'an unknown field in the filter',
      'texts',
      { text: 'x', filter: { categry: { $eq: 'a' } } },
      400,
      'unknown_field',
      'did you mean "category"?',
    ],
    [
      'an unknown operator in the filter',
      'texts',
      { text: 'x', filter: { category: { $eqq: 'a' } } },
      400,
      'invalid_body',
      'did you mean "$eq"?',
    ],
    ['neither text nor vector', 'texts', { k: 3 }, 400, 'invalid_body', 'exactly one of text and vector'],
    ['a misspelt option', 'texts', { text: 'x', minscore: 1 }, 400, 'invalid_body', 'did you mean "minScore"?'],
    ['an option of another type', 'texts', { text: 'x', k: 'all' }, 400, 'invalid_body', '/k'],
    ['a vector of another dimension', 'texts', { vector: [1, 2] }, 400, 'bad_vector', '384'],
  ])('a search with %s', async (_what, collection, body, status, code, said) => {
    await eventually(async () => expect((await pipelineStatus(address, 'texts')).lag).toBe(0))
    const url = `${address}/v1/collections/${collection}/search`
    const found = await problemOf(await post(url, JSON.stringify(body)))
    expect(found).toMatchObject({ status, code })
    expect(found.detail).toContain(said)
  })

  test.each([
    ['that is no SQL', 'SELECT FROM WHERE', 'query_failed', 'Syntax error'],
    ['that returns too much', 'SELECT number FROM numbers(500000)', 'query_too_large', 'add a LIMIT'],
    ['of an unknown column', 'SELECT m FROM orders', 'query_failed', '`m`'],
    ['of an unknown table', 'SELECT n FROM ordrs', 'query_failed', 'orders'],
    ['that would change something', 'DROP TABLE orders', 'query_not_allowed', 'DROP'],
    ['that would read files', "SELECT * FROM file('/etc/passwd')", 'query_not_allowed', 'file'],
    ['without a value for its parameter', 'SELECT {x:String}', 'query_failed', 'x'],
  ])('a query %s', async (_what, sql, code, said) => {
    const found = await problemOf(await post(`${address}/v1/query`, JSON.stringify({ sql })))
    expect(found).toMatchObject({ status: 400, code })
    expect(found.detail).toContain(said)
    // What a failed query leaves behind must not stand before the next one's answer.
    expect(await query(address, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
  })

  test('a route, a method and a pipeline that are not there', async () => {
    expect(await problemOf(await fetch(`${address}/v1/nothing`))).toMatchObject({
      status: 404,
      hint: expect.stringContaining('/openapi.json'),
    })
    expect(await problemOf(await fetch(`${address}/v1/pipelines/orderz`))).toMatchObject({
      status: 404,
      code: 'pipeline_not_found',
      detail: expect.stringContaining('did you mean "orders"?'),
    })
  })
})

describe('pipelines', () => {
  test('one with mistakes is refused with every place, and the one that runs goes on', async () => {
    const yaml = plainPipeline('orders', { n: 'UInt32' })
      .replace('source:', 'sorce:')
      .replace('live: orders', 'live: { chanel: x }')
    const found = await around(async () =>
      problemOf(await post(`${address}/v1/pipelines/orders`, yaml, 'application/yaml', 'PUT')),
    )
    expect(found.status).toBe(400)
    expect(found.detail).toContain('orders.yaml:3:1: unknown key "sorce", did you mean "source"?')
    expect(found.detail).toContain('did you mean "channel"?')
    expect(found.errors).toMatchObject([
      { line: 3, column: 1, code: 'unknown_key', message: 'unknown key "sorce", did you mean "source"?' },
      { line: 6, message: expect.stringContaining('did you mean "channel"?') },
    ])
    await expectOrders()
  })

  test('a column type that ClickHouse does not have fails that pipeline alone, with what was meant', async () => {
    const yaml = plainPipeline('impossible', { n: 'Strng' })
    const response = await post(`${address}/v1/pipelines/impossible`, yaml, 'application/yaml', 'PUT')
    expect(response.status, await response.text()).toBe(200)
    const { reason = '' } = await eventually(async () => {
      const status = await pipelineStatus(address, 'impossible')
      expect(status.state).toBe('failed')
      return status
    })
    expect(reason).toContain('table impossible')
    expect(reason).toContain('Strng')
    expect(reason).toContain('String')
    expectNoTrace(reason)
    await publish(address, 'impossible', { n: 'kept' })
    await around(async () => undefined)
    await expectOrders()
    // Mended, it takes what was accepted meanwhile.
    await post(
      `${address}/v1/pipelines/impossible`,
      plainPipeline('impossible', { n: 'String' }),
      'application/yaml',
      'PUT',
    )
    await eventually(async () => expect(await column(address, 'impossible', 'n')).toEqual(['kept']))
    await fetch(`${address}/v1/pipelines/impossible`, { method: 'DELETE' })
  })
})

describe('poison', () => {
  test('goes to the dead letters with its own bytes, and the events beside it arrive', async () => {
    const bad = [
      ['{"n":300,"at":1,"raw":"  kept as it came "}', 'clickhouse', 'column n: 300 is out of the range of UInt8'],
      ['{"n":"x","at":1}', 'map', 'there is no operation number / string'],
      ['{"n":0,"at":1}', 'map', 'Infinity'],
      ['{"n":2,"at":"never"}', 'clickhouse', 'column at: "never"'],
      ['{"at":1}', 'map', 'value has no field "n"'],
    ] as const
    for (const [index, [text]] of bad.entries()) {
      const beside = JSON.stringify({ n: index + 1, at: '2026-01-01T00:00:00Z' })
      const body = `${beside}\n${text}\n`
      const response = await post(`${address}/v1/topics/poisoned/events`, body, 'application/x-ndjson')
      expect(response.status, await response.text()).toBe(200)
    }
    await eventually(async () => expect((await pipelineStatus(address, 'poisoned')).lag).toBe(0))
    expect(await column(address, 'poisoned', 'n')).toEqual([1, 2, 3, 4, 5])
    expect(await pipelineStatus(address, 'poisoned')).toMatchObject({ state: 'running' })

    const shown = await runCli(['dlq', 'show', 'poisoned'], { cwd: folder.path })
    expect(shown.code).toBe(0)
    expectNoTrace(shown.stdout)
    for (const [text, component, said] of bad) {
      expect(shown.stdout).toContain(` in ${component}: `)
      expect(shown.stdout).toContain(said)
      expect(shown.stdout).toContain(text)
    }
    const counted = await runCli(['dlq'], { cwd: folder.path })
    expect(counted.stdout).toMatch(/poisoned +5 /)
    expect(counted.stdout).toMatch(/orders +0 /)
  })

  test('bytes that are no JSON at all are kept as they are', async () => {
    const log = await openEmbeddedLog(join(folder.path, 'data', 'log'))
    try {
      const bytes = new Uint8Array([0x7b, 0xff, 0x00, 0x80])
      const letters = async () => await log.read({ topic: 'orders.dlq', partition: 0 }, 0, { events: 10, bytes: 1_000 })
      expect(await letters()).toEqual([])
      await around(async () => await log.append('orders', [{ key: Buffer.from('k'), value: bytes }]))
      const [letter] = await eventually(async () => {
        const found = await letters()
        expect(found).toHaveLength(1)
        return found
      })
      expect([...(letter?.value ?? [])]).toEqual([...bytes])
      expect(Buffer.from(letter?.key ?? []).toString()).toBe('k')
      expect(Buffer.from(letter?.headers['millrace-code'] ?? []).toString()).toBe('bad_bytes')
    } finally {
      await log.close()
    }
    await expectOrders()
    const { stdout } = await runCli(['dlq', 'show', 'orders'], { cwd: folder.path })
    expect(stdout).toContain('bad_bytes in ')
    expectNoTrace(stdout)
  })

  test('an empty text cannot be embedded, and the events beside it are found', async () => {
    await publish(address, 'texts', { text: '' }, { text: 'my parcel is late', category: 'shipping' })
    await eventually(async () => expect((await pipelineStatus(address, 'texts')).lag).toBe(0))
    const search = JSON.stringify({ text: 'where is my parcel', k: 1 })
    const response = await post(`${address}/v1/collections/texts/search`, search)
    expect(await response.json()).toMatchObject({ matches: [{ fields: { category: 'shipping' } }] })
    const { stdout } = await runCli(['dlq', 'show', 'texts'], { cwd: folder.path })
    expect(stdout).toContain('the text is empty')
    expect(stdout.match(/ in embed: /g)).toHaveLength(1)
  })
})

describe('a WebSocket client that sends', () => {
  test.each<[string, string | Buffer]>([
    ['no JSON', 'garbage'],
    ['no message of the protocol', '{"hello":"world"}'],
    ['bytes', Buffer.from([0, 1, 2, 255])],
    ['an unknown type', '{"type":"subscrbe","channel":"orders"}'],
    ['an expression that is none', '{"type":"subscribe","id":"a","channel":"orders","where":"value.n >"}'],
  ])('%s is told so, and the others still get their events', async (_what, garbage) => {
    const good = await subscriber()
    const bad = new WebSocket(`${address.replace('http', 'ws')}/v1/live`, 'millrace.v1')
    const answers: string[] = []
    bad.on('message', (data) => answers.push(String(data)))
    bad.on('close', (code, reason) => answers.push(`${code} ${reason.toString()}`))
    await once(bad, 'open')
    bad.send(garbage)
    await eventually(async () => expect(answers.join('\n')).toMatch(/error|bad_|^4\d\d\d /m))
    expectNoTrace(answers.join('\n'))
    bad.close()
    const n = published++
    await publish(address, 'orders', { n })
    await eventually(async () => expect(good.received.join('\n')).toContain(`"n":${n}`))
    await good.close()
    await expectOrders()
  })
})

test('after all of this the log of the server has one line, for the pipeline that failed', () => {
  const lines = server.stderr().trim().split('\n')
  expect(lines.filter((line) => !/ INFO /.test(line))).toEqual([
    expect.stringMatching(/ERROR pipeline impossible has stopped: .*Strng/),
  ])
})

async function subscriber() {
  const response = await fetch(`${address}/v1/live/orders`)
  const received: string[] = []
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  const reading = (async () => {
    for (let chunk = await reader?.read(); chunk && !chunk.done; chunk = await reader?.read())
      received.push(chunk.value)
  })().catch(() => {})
  return {
    received,
    close: () => {
      void reader?.cancel()
      return reading
    },
  }
}

/** A body whose size nobody is told, and most of which comes when the signal fires. */
function slowly(bytes: number, signal: AbortSignal): ReadableStream<Uint8Array> {
  const chunk = new Uint8Array(1_000_000).fill(32)
  let left = bytes
  return new ReadableStream({
    async pull(controller) {
      if (left < bytes && !signal.aborted) await once(signal, 'abort')
      if (left <= 0) return controller.close()
      left -= chunk.byteLength
      controller.enqueue(chunk)
    },
  })
}

async function residentBytes(): Promise<number> {
  const text = await (await fetch(`${address}/metrics`)).text()
  return Number(text.match(/^process_resident_memory_bytes (\S+)/m)?.[1])
}
