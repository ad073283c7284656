import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { startOrders } from './orders.ts'
import { eventually, pipelineStatus, post, problemOf, publish, query, texts } from './support.ts'

let orders: Awaited<ReturnType<typeof startOrders>>
beforeAll(async () => {
  orders = await startOrders({ 'pipelines/texts.yaml': texts })
  await publish(
    orders.address,
    'texts',
    { text: 'charged twice', category: 'billing' },
    { text: 'all is down', category: 'outage' },
  )
})
afterAll(() => orders[Symbol.asyncDispose]())

describe('publishing', () => {
  const events = () => `${orders.address}/v1/topics/orders/events`

  test.each([
    ['cut short', '{"n": 1', 'it ends too early at line 1, column 8'],
    ['in single quotes', "{'n': 1}", 'at line 1, column 2'],
    ['with a comma too many', '[\n  {"n": 1},\n]', 'at line 3, column 1'],
    ['with a literal tab in a text', '{"customer": "a\tb"}', 'at line 1, column'],
  ])('JSON %s', async (_what, body, where) => {
    const { status, code, detail } = await orders.around(async () => problemOf(await post(events(), body)))
    expect({ status, code }).toEqual({ status: 400, code: 'bad_json' })
    expect(detail).toContain(where)
    await orders.expectAll()
  })

  test('of NDJSON each bad line is named, and none of the good ones is taken', async () => {
    const body = '{"n": 9001}\n{"n": 9002\n{"n": 9003}\n'
    const { status, errors } = await orders.around(async () =>
      problemOf(await post(events(), body, 'application/x-ndjson')),
    )
    expect(status).toBe(422)
    expect(errors).toMatchObject([{ index: 1, message: expect.stringContaining('line 2') }])
    await orders.expectAll()
  })

  test('bytes that are not UTF-8', async () => {
    const { status, code } = await orders.around(async () =>
      problemOf(await post(events(), new Uint8Array([0x22, 0xff, 0x22]))),
    )
    expect({ status, code }).toEqual({ status: 400, code: 'bad_encoding' })
    await orders.expectAll()
  })

  test('an unknown topic is answered with the nearest name', async () => {
    const { status, code, detail, hint } = await problemOf(
      await post(`${orders.address}/v1/topics/ordrs/events`, '{"n":1}'),
    )
    expect({ status, code }).toEqual({ status: 404, code: 'topic_not_found' })
    expect(detail).toContain('did you mean "orders"?')
    expect(hint).toContain('POST /v1/topics')
    const { topics } = z
      .object({ topics: z.array(z.object({ name: z.string() })) })
      .parse(await (await fetch(`${orders.address}/v1/topics`)).json())
    expect(topics.map(({ name }) => name)).not.toContain('ordrs')
  })

  test('events that break the schema are named by index and place, with the nearest field; all or none', async () => {
    const body = JSON.stringify([{ n: 9001 }, { n: 9002, custmer: 'ann' }, { n: 'many' }, {}])
    const { status, code, errors } = await orders.around(async () => problemOf(await post(events(), body)))
    expect({ status, code }).toEqual({ status: 422, code: 'invalid_events' })
    expect(errors).toMatchObject([
      { index: 1, pointer: '/custmer', message: expect.stringContaining('did you mean "customer"?') },
      { index: 2, pointer: '/n', message: 'must be integer' },
      { index: 3, pointer: '/n', message: 'is missing' },
    ])
    await orders.expectAll()
  })

  test('100 MB with its length declared is refused before it is sent', async () => {
    const { status, code, detail, hint } = await orders.around(async () =>
      problemOf(await post(events(), new Uint8Array(100_000_000))),
    )
    expect({ status, code }).toEqual({ status: 413, code: 'body_too_large' })
    expect(detail).toContain('100 MB')
    expect(hint).toContain('several requests')
    await orders.expectAll()
  })

  test('100 MB without a length, ten at a time, take no memory and hold up no small request', async () => {
    const before = await residentBytes()
    await orders.around(async () => {
      const release = new AbortController()
      const floods = Array.from({ length: 10 }, () => post(events(), slowly(100_000_000, release.signal)))
      // Each has begun, and holds the room that it may need.
      await delay(200)
      for (let beside = 0; beside < 5; beside++) await orders.publish()
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
    await orders.expectAll()
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
    await eventually(async () => expect((await pipelineStatus(orders.address, 'texts')).lag).toBe(0))
    const url = `${orders.address}/v1/collections/${collection}/search`
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
    const found = await problemOf(await post(`${orders.address}/v1/query`, JSON.stringify({ sql })))
    expect(found).toMatchObject({ status: 400, code })
    expect(found.detail).toContain(said)
    // What a failed query leaves behind must not stand before the next one's answer.
    expect(await query(orders.address, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
  })

  test('a route, a method and a pipeline that are not there', async () => {
    expect(await problemOf(await fetch(`${orders.address}/v1/nothing`))).toMatchObject({
      status: 404,
      hint: expect.stringContaining('/openapi.json'),
    })
    expect(await problemOf(await fetch(`${orders.address}/v1/pipelines/orderz`))).toMatchObject({
      status: 404,
      code: 'pipeline_not_found',
      detail: expect.stringContaining('did you mean "orders"?'),
    })
  })
})

test('after all of this the log of the server has nothing to say', () => {
  expect(orders.warnings()).toEqual([])
})

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
  const text = await (await fetch(`${orders.address}/metrics`)).text()
  return Number(text.match(/^process_resident_memory_bytes (\S+)/m)?.[1])
}
