import { randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { errorMessage } from '../../src/core/errors.ts'
import { SchemaFolder } from '../../src/serde/folder.ts'
import { createSerde } from '../../src/serde/index.ts'
import { RegistryApi } from '../../src/serde/registry/api.ts'
import { RegistrySerde, type RegistrySerdeOptions } from '../../src/serde/registry/serde.ts'
import { makeCertificates } from '../services/certificates.ts'
import { findService } from '../services/services.ts'
import { type FakeRegistry, startFakeRegistry } from './fake-registry.ts'

const url = await findService('registry')

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-registry-'))
})
afterAll(() => rm(folder, { recursive: true }))

function record(...fields: [name: string, type: unknown, more?: object][]): string {
  return JSON.stringify({
    type: 'record',
    name: 'Order',
    fields: fields.map(([name, type, more]) => ({ name, type, ...more })),
  })
}

function framed(id: number, ...bytes: number[]): Uint8Array {
  const header = Buffer.alloc(5)
  header.writeUInt32BE(id, 1)
  return Buffer.concat([header, Buffer.from(bytes)])
}

function thrown(work: () => unknown): unknown {
  try {
    work()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

describe.skipIf(url === undefined)('a registry', () => {
  const open = () => createSerde({ folder, registry: { url: url ?? '' } })
  const newTopic = () => `registry-${randomUUID()}`
  const post = (path: string, body: unknown, method = 'POST') =>
    fetch(`${url}${path}`, {
      method,
      headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
      body: JSON.stringify(body),
    })

  test('a schema file is registered by whoever writes, once, and not by readers', async () => {
    const topic = newTopic()
    await writeFile(join(folder, `${topic}.avsc`), record(['id', 'long']))
    const serde = open()
    const reading = await serde.codec(topic)
    expect(reading).toMatchObject({ format: 'avro', fields: new Set(['id']) })
    expect((await fetch(`${url}/subjects/${topic}-value/versions/latest`)).status).toBe(404)
    expect(thrown(() => reading.encode({ id: 1 }))).toMatchObject({ name: 'Fatal', code: 'schema_not_registered' })
    const [one, other] = await Promise.all([serde.codec(topic, 'write'), serde.codec(topic, 'write')])
    const again = await open().codec(topic, 'write')
    const bytes = one.encode({ id: 1 })
    expect([...bytes]).toEqual([...other.encode({ id: 1 })])
    expect([...bytes]).toEqual([...again.encode({ id: 1 })])
    expect([...bytes].slice(0, 1)).toEqual([0])
    expect(await (await fetch(`${url}/subjects/${topic}-value/versions`)).json()).toEqual([1])
    expect(reading.load?.([bytes])).toBeInstanceOf(Promise)
    await reading.load?.([bytes])
    expect(reading.load?.([bytes, null])).toBeUndefined()
    expect(reading.decode(bytes)).toEqual({ id: 1 })
  })

  test('each value is read by the schema that it names, whatever the latest is', async () => {
    const topic = newTopic()
    await post(`/subjects/${topic}-value/versions`, { schema: record(['id', 'long']) })
    const first = await open().codec(topic, 'write')
    const old = first.encode({ id: 1 })
    await post(`/subjects/${topic}-value/versions`, {
      schema: record(['id', 'long'], ['name', 'string', { default: '?' }]),
    })
    const codec = await open().codec(topic, 'write')
    expect(codec.fields).toEqual(new Set(['id', 'name']))
    expect(codec.validate({ id: 'x' })).toMatchObject([{ pointer: '/id' }])
    const values = [old, codec.encode({ id: 2 }), codec.encode({ id: 3, name: 'a' })]
    const reader = await open().codec('elsewhere')
    await reader.load?.(values)
    expect(values.map((value) => reader.decode(value))).toEqual([{ id: 1 }, { id: 2, name: '?' }, { id: 3, name: 'a' }])
  })

  test('a schema that is not compatible stops whoever would write, and lint says why beforehand', async () => {
    const topic = newTopic()
    const file = join(folder, `${topic}.avsc`)
    await post(`/subjects/${topic}-value/versions`, { schema: record(['id', 'long']) })
    await post(`/config/${topic}-value`, { compatibility: 'BACKWARD' }, 'PUT')
    await writeFile(file, record(['id', 'string']))
    const serde = open()
    expect(await serde.incompatibility(topic)).toMatchObject({ file, reasons: [expect.stringMatching(/^reader type/)] })
    await expect(serde.codec(topic, 'write')).rejects.toMatchObject({
      name: 'InvalidInput',
      code: 'incompatible_schema',
      message: expect.stringContaining(`${topic}.avsc`),
    })
    expect(await (await fetch(`${url}/subjects/${topic}-value/versions`)).json()).toEqual([1])
    expect((await serde.codec(topic)).format).toBe('avro')
    await writeFile(file, record(['id', 'long'], ['name', 'string', { default: '' }]))
    expect(await open().incompatibility(topic)).toBeUndefined()
  })

  test('Protobuf that breaks its readers is not compatible', async () => {
    const topic = newTopic()
    const message = (field: string) => `syntax = "proto3";\nmessage Order { ${field} }`
    const body = { schemaType: 'PROTOBUF', schema: message('int64 id = 1;') }
    await post(`/subjects/${topic}-value/versions`, body)
    await post(`/config/${topic}-value`, { compatibility: 'BACKWARD' }, 'PUT')
    await writeFile(join(folder, `${topic}.proto`), message('string id = 1;'))
    expect((await open().incompatibility(topic))?.reasons).not.toEqual([])
    await expect(open().codec(topic, 'write')).rejects.toMatchObject({ code: 'incompatible_schema' })
  })

  test('imports are registered before what imports them, and are found again by their versions', async () => {
    const topic = newTopic()
    const inner = `inner-${randomUUID()}.proto`
    await writeFile(join(folder, inner), 'syntax = "proto3"; message Inner { string a = 1; }')
    await writeFile(
      join(folder, `${topic}.proto`),
      `syntax = "proto3"; import "${inner}"; message Outer { Inner inner = 1; } message Other { int32 b = 1; }`,
    )
    const codec = await open().codec(topic, 'write')
    const bytes = codec.encode({ inner: { a: 'x' } })
    expect([...bytes].slice(5, 6)).toEqual([0])
    const reader = await createSerde({ folder: join(folder, 'none'), registry: { url: url ?? '' } }).codec('elsewhere')
    await reader.load?.([bytes])
    expect(reader.decode(bytes)).toEqual({ inner: { a: 'x' } })
    expect(await open().incompatibility(topic)).toBeUndefined()
    // The second message of the file, by one index: a count of one, the index one.
    const second = Buffer.concat([Buffer.from(bytes).subarray(0, 5), Uint8Array.of(2, 2, 8, 5)])
    expect(reader.decode(second)).toEqual({ b: 5 })
    const third = Buffer.concat([Buffer.from(bytes).subarray(0, 5), Uint8Array.of(2, 4, 8, 5)])
    expect(thrown(() => reader.decode(third))).toMatchObject({ code: 'bad_bytes' })
  })

  test('JSON Schema frames as well, and both framed and plain JSON are read', async () => {
    const topic = newTopic()
    // Apicurio's takes a schema for one only by its `$schema`.
    const draft = 'http://json-schema.org/draft-07/schema#'
    const file = `part-${randomUUID()}.schema.json`
    await writeFile(join(folder, file), JSON.stringify({ $schema: draft, type: 'string', minLength: 1 }))
    const schema = { $schema: draft, type: 'object', properties: { name: { $ref: file } } }
    await writeFile(join(folder, `${topic}.schema.json`), JSON.stringify(schema))
    const codec = await open().codec(topic, 'write')
    expect(codec.validate({ name: '' })).toMatchObject([{ pointer: '/name' }])
    const bytes = codec.encode({ name: 'a' })
    expect(Buffer.from(bytes).subarray(5).toString()).toBe('{"name":"a"}')
    await codec.load?.([bytes])
    expect(codec.decode(bytes)).toEqual({ name: 'a' })
    expect(codec.decode(Buffer.from('{"name":"b"}'))).toEqual({ name: 'b' })
  })

  test('a topic that neither a file nor the registry knows is plain JSON', async () => {
    const codec = await open().codec(newTopic(), 'write')
    expect(codec).toMatchObject({ format: 'json', schema: undefined, fields: undefined })
    expect(Buffer.from(codec.encode([1])).toString()).toBe('[1]')
    expect(codec.decode(Buffer.from('[1]'))).toEqual([1])
  })

  test('an id that is unknown, and bytes that name none, are told apart', async () => {
    const topic = newTopic()
    await writeFile(join(folder, `${topic}.avsc`), record(['id', 'long']))
    const codec = await open().codec(topic)
    const unknown = framed(2_000_000_000, 2)
    await codec.load?.([unknown])
    expect(thrown(() => codec.decode(unknown))).toMatchObject({ name: 'InvalidInput', code: 'unknown_schema' })
    for (const bytes of [Buffer.from('{"id":1}'), new Uint8Array(0), Uint8Array.of(0, 0, 0)]) {
      expect(codec.load?.([bytes])).toBeUndefined()
      expect(thrown(() => codec.decode(bytes))).toMatchObject({ name: 'InvalidInput', code: 'bad_bytes' })
    }
  })
})

describe('a registry in trouble', () => {
  let fake: FakeRegistry
  afterEach(() => fake.close())

  const serde = (options: RegistrySerdeOptions = {}, settings = {}) =>
    new RegistrySerde(new SchemaFolder(join(folder, 'none')), new RegistryApi({ url: fake.url, ...settings }), options)
  const number = { body: { schema: '"long"' } }
  const schemasAsked = () => fake.requests.filter(({ path }) => path.startsWith('/schemas/'))

  test('one request is made for concurrent values of one schema, and none once it is there', async () => {
    fake = await startFakeRegistry((path) => (path.startsWith('/schemas/') ? number : undefined))
    const codec = await serde().codec('x')
    const other = await serde().codec('x')
    await Promise.all([codec.load?.([framed(1, 2)]), codec.load?.([framed(1, 2), framed(1, 4)])])
    expect(schemasAsked()).toHaveLength(1)
    expect(codec.load?.([framed(1, 2)])).toBeUndefined()
    expect(codec.decode(framed(1, 4))).toBe(2)
    await other.load?.([framed(1, 2)])
    expect(schemasAsked()).toHaveLength(2)
  })

  test('the cache keeps the most recently used, and nothing goes while it is being decoded', async () => {
    fake = await startFakeRegistry((path) => (path.startsWith('/schemas/') ? number : undefined))
    const opened = serde({ capacity: 3 })
    const codec = await opened.codec('x')
    const all = Array.from({ length: 10 }, (_, id) => framed(id, 2))
    await codec.load?.(all)
    expect(all.map((bytes) => codec.decode(bytes))).toEqual(all.map(() => 1))
    await new Promise((resolve) => setTimeout(resolve, 10))
    expect(opened.registry.size).toBe(3)
    expect(codec.load?.(all.slice(7, 8))).toBeUndefined()
    await codec.load?.([framed(50, 2)])
    await new Promise((resolve) => setTimeout(resolve, 10))
    expect(codec.load?.(all.slice(7, 8))).toBeUndefined()
    expect(codec.load?.(all.slice(8, 9))).toBeDefined()
  })

  test('an id that was unknown is asked for again after a while', async () => {
    let there = false
    fake = await startFakeRegistry((path) => (there && path.startsWith('/schemas/') ? number : undefined))
    const codec = await serde({ unknownMs: 200 }).codec('x')
    await codec.load?.([framed(1, 2)])
    expect(codec.load?.([framed(1, 2)])).toBeUndefined()
    expect(thrown(() => codec.decode(framed(1, 2)))).toMatchObject({ code: 'unknown_schema' })
    there = true
    await new Promise((resolve) => setTimeout(resolve, 250))
    await codec.load?.([framed(1, 2)])
    expect(codec.decode(framed(1, 2))).toBe(1)
  })

  test('a schema that cannot be read makes its values unreadable, not the topic', async () => {
    fake = await startFakeRegistry((path) =>
      path === '/schemas/ids/1' ? { body: { schema: '{"type":"odd"}' } } : undefined,
    )
    const codec = await serde().codec('x')
    await codec.load?.([framed(1, 2)])
    expect(thrown(() => codec.decode(framed(1, 2)))).toMatchObject({ name: 'InvalidInput', code: 'schema_unusable' })
  })

  test('a latest schema that cannot be used stops writers, and not readers of other schemas', async () => {
    const odd = { body: { id: 9, version: 1, schema: '{"type":"odd"}' } }
    fake = await startFakeRegistry((path) => (path.startsWith('/subjects/x-value/') ? odd : number))
    const codec = await serde().codec('x')
    await codec.load?.([framed(1, 2)])
    expect(codec.decode(framed(1, 2))).toBe(1)
    await expect(serde().codec('x', 'write')).rejects.toMatchObject({ name: 'InvalidInput', code: 'schema_unusable' })
  })

  test('answers that pass are waited for', async () => {
    fake = await startFakeRegistry((path, count) => {
      if (!path.startsWith('/schemas/')) return undefined
      return count < 3 ? { status: count === 1 ? 503 : 429, body: { error_code: 50301, message: 'busy' } } : number
    })
    const codec = await serde().codec('x')
    await codec.load?.([framed(1, 2)])
    expect(codec.decode(framed(1, 2))).toBe(1)
  })

  test.each<[string, number, unknown, string]>([
    ['fails', 500, { error_code: 50001, message: 'no store' }, 'registry_unreachable'],
    ['refuses access', 401, { error_code: 40101, message: 'Unauthorized' }, 'registry_refused'],
    ['is not one', 404, '<html>not here</html>', 'registry_unreachable'],
    ['is one at another path', 404, { error_code: 404, message: 'HTTP 404 Not Found' }, 'registry_unreachable'],
    ['answers something else', 200, { hello: 'world' }, 'registry_unreachable'],
  ])('where it %s, values wait and nothing is lost', async (_name, status, body, code) => {
    fake = await startFakeRegistry(() => ({ status, body }))
    const opened = serde({}, { username: 'me', password: 'very secret' })
    const codec = await opened.codec('x')
    const error: unknown = await codec.load?.([framed(1, 2)])?.catch((failure: unknown) => failure)
    expect(error).toMatchObject({ name: 'Retryable', code })
    expect(errorMessage(error)).toContain(fake.url)
    expect(errorMessage(error)).not.toContain('secret')
    await expect(opened.codec('x', 'write')).rejects.toMatchObject({ name: 'Retryable', code })
  })

  test('TLS trusts the authority that is named, and shows a certificate where one is asked for', async () => {
    const { authority, server, client } = await makeCertificates(join(folder, 'tls'))
    const [ca, cert, key] = await Promise.all([authority, server.certificate, server.key].map((path) => readFile(path)))
    fake = await startFakeRegistry(() => number, { ca, cert, key, requestCert: true, rejectUnauthorized: true })
    const own = { ca: authority, cert: client.certificate, key: client.key }
    const codec = await serde({}, own).codec('x')
    await codec.load?.([framed(1, 2)])
    expect(codec.decode(framed(1, 2))).toBe(1)
    for (const settings of [{}, { ca: authority }]) {
      const refused = await serde({}, settings).codec('x')
      await expect(refused.load?.([framed(1, 2)])).rejects.toMatchObject({ code: 'registry_unreachable' })
    }
    const gone = serde({}, { ca: join(folder, 'gone.pem') })
    await expect(gone.codec('x', 'write')).rejects.toMatchObject({ name: 'InvalidInput', code: 'file_unreadable' })
  })

  test('where nothing listens, readers start all the same, and writers wait', async () => {
    fake = await startFakeRegistry(() => undefined)
    await fake.close()
    const opened = serde()
    const codec = await opened.codec('x')
    expect(codec).toMatchObject({ format: 'json', schema: undefined })
    expect(codec.decode(Buffer.from('1'))).toBe(1)
    await expect(codec.load?.([framed(1, 2)])).rejects.toMatchObject({
      name: 'Retryable',
      code: 'registry_unreachable',
      message: expect.stringMatching(/cannot be used: connect ECONNREFUSED/),
    })
    await expect(opened.codec('x', 'write')).rejects.toMatchObject({ name: 'Retryable' })
  })

  test('what was the latest schema still is while the registry is down', async () => {
    fake = await startFakeRegistry((path) =>
      path === '/subjects/x-value/versions/latest' ? { body: { id: 9, version: 1, schema: '"long"' } } : undefined,
    )
    const opened = serde({ latestMs: 0 })
    const codec = await opened.codec('x', 'write')
    expect([...codec.encode(1)]).toEqual([0, 0, 0, 0, 9, 2])
    fake.answer = () => ({ status: 503 })
    expect([...(await opened.codec('x', 'write')).encode(1)]).toEqual([0, 0, 0, 0, 9, 2])
  })

  test.each([
    [{ username: 'me', password: 'pass' }, `Basic ${Buffer.from('me:pass').toString('base64')}`],
    [{ token: 'abc' }, 'Bearer abc'],
    [{}, undefined],
  ])('signs in by %j', async (settings, expected) => {
    fake = await startFakeRegistry(() => number)
    const codec = await serde({}, settings).codec('x')
    await codec.load?.([framed(1, 2)])
    expect(fake.requests.map(({ authorization }) => authorization)).toEqual(fake.requests.map(() => expected))
  })
})
