import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Harness, json, startServer } from './harness.ts'

const contract = JSON.stringify({
  type: 'object',
  required: ['amount'],
  properties: { amount: { type: 'number' } },
})
let server: Harness
beforeAll(async () => {
  server = await startServer({ schemas: { 'payments.schema.json': contract } })
  for (const name of ['tickets', 'payments', 'clouds']) {
    await server.fetch('/v1/topics', json({ name, partitions: 1 }))
  }
})
afterAll(() => server[Symbol.asyncDispose]())

async function stored(
  topic: string,
): Promise<{ key: string | null; value: unknown; headers: unknown; timestamp: number }[]> {
  const response = await server.fetch(`/v1/topics/${topic}/events?limit=1000`)
  return JSON.parse(await response.text()).events
}
function post(topic: string, body: string, type = 'application/json', query = ''): Promise<Response> {
  return server.fetch(`/v1/topics/${topic}/events${query}`, { method: 'POST', headers: { 'content-type': type }, body })
}

test('a topic is made with the settings that are given, and changed by a second call', async () => {
  const create = (settings: object) => server.fetch('/v1/topics', json({ name: 'orders', ...settings }))
  const created = await create({ partitions: 2, retention: '1d', retentionBytes: '1MB', compact: true })
  expect(created.status).toBe(201)
  const config = { partitions: 2, retentionMs: 86_400_000, retentionBytes: 1_000_000, compact: true }
  expect(await created.json()).toMatchObject({ name: 'orders', config })
  expect(await (await create({ retentionBytes: 0 })).json()).toMatchObject({ config: { ...config, retentionBytes: 0 } })
  expect(await (await create({ retentionSize: 1 })).json()).toMatchObject({ code: 'invalid_body' })
})

describe('what is taken', () => {
  test('an object is one event, an array several; keys come from a JSON pointer', async () => {
    const one = await post('tickets', '{"customer":{"id":7}}', 'application/json', '?key=/customer/id')
    expect(one.status).toBe(200)
    expect(await one.json()).toEqual({ accepted: 1, positions: [{ topic: 'tickets', partition: 0, offset: 0 }] })
    const several = await post('tickets', '[{"a":1},{"a":2}]')
    expect(await several.json()).toMatchObject({ accepted: 2, positions: [{ offset: 1 }, { offset: 2 }] })
    expect(await stored('tickets')).toMatchObject([
      { key: '7', value: { customer: { id: 7 } } },
      { key: null, value: { a: 1 } },
      { key: null, value: { a: 2 } },
    ])
  })

  test('NDJSON, with empty lines between', async () => {
    const response = await post('tickets', '{"a":1}\r\n\n{"a":2}\n', 'application/x-ndjson')
    expect(await response.json()).toMatchObject({ accepted: 2 })
  })

  test('what curl -d sends', async () => {
    expect((await post('tickets', '{"a":1}', 'application/x-www-form-urlencoded')).status).toBe(200)
  })

  test('CloudEvents, single, in a batch and with attributes in headers', async () => {
    const event = { specversion: '1.0', id: '1', source: '/shop', type: 'paid', time: '2026-01-02T03:04:05Z' }
    const single = { ...event, partitionkey: 'c-1', data: { amount: 3 } }
    expect((await post('clouds', JSON.stringify(single), 'application/cloudevents+json')).status).toBe(200)
    const batch = [
      { ...event, data_base64: btoa('{"amount":4}') },
      { ...event, partitionkey: 'c-1' },
    ]
    expect((await post('clouds', JSON.stringify(batch), 'application/cloudevents-batch+json')).status).toBe(200)
    const binary = await server.fetch('/v1/topics/clouds/events', {
      method: 'POST',
      headers: {
        'ce-specversion': '1.0',
        'ce-id': '9',
        'ce-source': '/s',
        'ce-type': 't',
        'content-type': 'application/json',
      },
      body: '{"amount":5}',
    })
    expect(binary.status).toBe(200)
    const headers = { ce_specversion: '1.0', ce_id: '1', ce_source: '/shop', ce_type: 'paid' }
    const timestamp = Date.parse('2026-01-02T03:04:05Z')
    expect((await stored('clouds')).sort((a, b) => a.timestamp - b.timestamp)).toMatchObject([
      { key: 'c-1', value: { amount: 3 }, timestamp, headers },
      { key: null, value: { amount: 4 }, timestamp, headers },
      { key: 'c-1', value: null, timestamp },
      { key: null, value: { amount: 5 }, headers: { ce_id: '9' } },
    ])
  })
})

describe('what is refused, as a whole', () => {
  const problem = async (response: Promise<Response>) => {
    const answer = await response
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    return { status: answer.status, ...JSON.parse(await answer.text()) }
  }

  test.each([
    ['{"a":1,}', 'line 1, column 8'],
    ['{\n  "a": x\n}', 'line 2, column 8'],
    ['[1, 2', 'line 1, column 6'],
    ["{'a':1}", 'line 1, column 2'],
    ['{"a":1} {"b":2}', 'line 1, column 9'],
    ['{"a":"\t"}', 'line 1, column 6'],
  ])('malformed JSON says where: %j', async (body, where) => {
    const answer = await problem(post('tickets', body))
    expect(answer).toMatchObject({ status: 400, code: 'bad_json', detail: expect.stringContaining(where) })
  })

  test('each bad event is named, with its place', async () => {
    const before = (await stored('payments')).length
    const answer = await problem(post('payments', '[{"amount":1},{"amount":"2"},{}]'))
    expect(answer).toMatchObject({ status: 422, code: 'invalid_events' })
    expect(answer.errors).toMatchObject([{ index: 1, pointer: '/amount' }, { index: 2 }])
    expect(await stored('payments')).toHaveLength(before)
  })

  test('bad lines of NDJSON are named', async () => {
    const answer = await problem(post('tickets', '{"a":1}\n{"a":\n{"b":2}\nx', 'application/x-ndjson'))
    expect(answer).toMatchObject({ status: 422, code: 'invalid_events' })
    expect(answer.errors).toMatchObject([
      { index: 1, message: expect.stringContaining('line 2') },
      { index: 3, message: expect.stringContaining('line 4') },
    ])
  })

  test('a key that is not there, a null without a key, a broken CloudEvent', async () => {
    const noKey = await problem(post('tickets', '[{"id":1},{}]', 'application/json', '?key=/id'))
    expect(noKey).toMatchObject({
      code: 'invalid_events',
      errors: [{ index: 1, message: expect.stringContaining('/id') }],
    })
    expect(await problem(post('tickets', 'null'))).toMatchObject({ code: 'invalid_events' })
    const cloud = await problem(post('clouds', '{"id":"1"}', 'application/cloudevents+json'))
    expect(cloud.errors).toMatchObject([{ index: 0, message: expect.stringContaining('specversion') }])
    expect(await problem(post('tickets', '{}', 'application/json', '?key=id'))).toMatchObject({ code: 'bad_pointer' })
  })

  test('an unknown topic, with the nearest name and how to make it', async () => {
    const answer = await problem(post('ticket', '{}'))
    expect(answer).toMatchObject({ status: 404, code: 'topic_not_found' })
    expect(answer.detail).toContain('did you mean "tickets"?')
    expect(answer.hint).toContain('POST /v1/topics')
  })

  test('no events, another media type, an encoding, bytes that are no text', async () => {
    expect(await problem(post('tickets', ' '))).toMatchObject({ status: 400, code: 'empty_body' })
    expect(await problem(post('tickets', '[]'))).toMatchObject({ status: 400, code: 'no_events' })
    expect(await problem(post('tickets', '{}', 'application/avro'))).toMatchObject({ status: 415 })
    const gzip = { 'content-type': 'application/json', 'content-encoding': 'gzip' }
    const encoded = server.fetch('/v1/topics/tickets/events', { method: 'POST', headers: gzip, body: '{}' })
    expect(await problem(encoded)).toMatchObject({ status: 415, code: 'unsupported_encoding' })
    const bytes = server.fetch('/v1/topics/tickets/events', {
      method: 'POST',
      body: new Uint8Array([0x22, 0xff, 0x22]),
    })
    expect(await problem(bytes)).toMatchObject({ status: 400, code: 'bad_encoding' })
  })

  test('more events than can be stored without holding up the others', async () => {
    const answers = [
      post('tickets', '1\n'.repeat(10_001), 'application/x-ndjson'),
      post('tickets', JSON.stringify(Array(10_001).fill(1))),
    ]
    for (const answer of answers) {
      expect(await problem(answer)).toMatchObject({ status: 413, code: 'too_many_events' })
    }
  })

  test('a CloudEvent header that is not percent-encoded', async () => {
    const headers = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-type': 't', 'ce-source': '100%' }
    const answer = await problem(server.fetch('/v1/topics/clouds/events', { method: 'POST', headers, body: '1' }))
    expect(answer).toMatchObject({ status: 400, code: 'bad_header', detail: expect.stringContaining('ce-source') })
  })

  test('an event nested deeper than can be written', async () => {
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`
    const answer = await problem(post('tickets', `[${deep}]`))
    expect(answer).toMatchObject({ status: 422, code: 'invalid_events' })
  })
})

describe('topics', () => {
  test('a topic has partitions, ends, a rate and its schema', async () => {
    await post('payments', '{"amount":1}')
    const answer = JSON.parse(await (await server.fetch('/v1/topics/payments')).text())
    expect(answer).toMatchObject({ name: 'payments', records: 1, partitions: [{ partition: 0, start: 0, end: 1 }] })
    expect(answer.schema).toMatchObject({ required: ['amount'] })
  })

  test('rates are events per second', async () => {
    await server.fetch('/v1/topics')
    await post('tickets', JSON.stringify(Array.from({ length: 500 }, () => ({ a: 1 }))))
    await new Promise((resolve) => setTimeout(resolve, 300))
    const { topics } = JSON.parse(await (await server.fetch('/v1/topics')).text())
    expect(topics.find(({ name }: { name: string }) => name === 'tickets').rate).toBeGreaterThan(10)
  })

  test('a name or an option that cannot be is refused', async () => {
    expect((await server.fetch('/v1/topics', json({ name: 'a/b' }))).status).toBe(400)
    const answer = await server.fetch('/v1/topics', json({ name: 'a', partition: 3 }))
    expect(await answer.json()).toMatchObject({ code: 'invalid_body', detail: expect.stringContaining('partition') })
  })

  test('the newest events are the newest, however large they are', async () => {
    await server.fetch('/v1/topics', json({ name: 'large', partitions: 1 }))
    for (let n = 0; n < 5; n++) await post('large', JSON.stringify({ n, pad: 'x'.repeat(400_000) }))
    const { events } = JSON.parse(await (await server.fetch('/v1/topics/large/events?limit=4')).text())
    expect(events.map(({ value }: { value: { n: number } }) => value.n)).toEqual([1, 2, 3, 4])
  })

  test('peek from an offset, and follow', async () => {
    const response = await server.fetch('/v1/topics/clouds/events?partition=0&offset=1&limit=1')
    expect(await response.json()).toMatchObject({ events: [{ offset: 1 }] })
    const tail = await server.fetch('/v1/topics/tickets/tail?last=1')
    const reader = tail.body?.pipeThrough(new TextDecoderStream()).getReader()
    let text = ''
    const until = async (part: string) => {
      while (!text.includes(part)) text += (await reader?.read())?.value ?? ''
    }
    await until('data:')
    await post('tickets', '{"fresh":true}')
    await until('"fresh":true')
    await reader?.cancel()
  })
})
