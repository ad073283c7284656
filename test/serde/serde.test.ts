import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createSerde } from '../../src/serde/index.ts'

const ticket = {
  type: 'object',
  required: ['subject'],
  properties: {
    subject: { type: 'string', minLength: 1 },
    kind: { enum: ['question', 'complaint'] },
    email: { type: 'string', format: 'email' },
    customer: { type: 'object', properties: { 'a/b': { type: 'integer' } }, additionalProperties: false },
  },
}

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-serde-'))
  const files: Record<string, unknown> = {
    'tickets.schema.json': ticket,
    'open.schema.json': { ...ticket, additionalProperties: true },
    'closed.schema.json': { ...ticket, additionalProperties: false },
    'composed.schema.json': { ...ticket, anyOf: [{ required: ['email'] }, { required: ['kind'] }] },
    'old.schema.json': { $schema: 'http://json-schema.org/draft-07/schema#', ...ticket },
    'misspelt.schema.json': { ...ticket, requird: [] },
    'list.schema.json': [],
    'two.schema.json': ticket,
    'pipeline.schema.json': { type: 'string' },
  }
  for (const [name, schema] of Object.entries(files)) await writeFile(join(folder, name), JSON.stringify(schema))
  await writeFile(join(folder, 'two.avsc'), '"string"')
  await writeFile(join(folder, 'avro.avsc'), '{"type":"record","name":"A"}')
  await writeFile(join(folder, 'proto.proto'), 'syntax = "proto3"; message A { B b = 1; }')
  await writeFile(join(folder, 'empty.proto'), 'syntax = "proto3";')
  await writeFile(join(folder, 'broken.schema.json'), '{')
})
afterAll(() => rm(folder, { recursive: true }))

describe('topics with a schema', () => {
  test('its fields and the schema itself are known', async () => {
    const codec = await createSerde({ folder }).codec('tickets')
    expect([...(codec.fields ?? [])]).toEqual(['subject', 'kind', 'email', 'customer'])
    expect(codec).toMatchObject({ format: 'json', schema: ticket })
  })

  test.each([
    ['tickets', 4],
    ['closed', 4],
    ['old', 4],
    ['open', undefined],
    ['composed', undefined],
    ['elsewhere', undefined],
    ['pipeline', undefined],
  ])('fields of %s', async (topic, count) => {
    expect((await createSerde({ folder }).codec(topic)).fields?.size).toBe(count)
  })

  test.each<[value: unknown, topic: string, problems: unknown[]]>([
    [{ subject: 'a', more: 1 }, 'tickets', []],
    [{}, 'tickets', [{ pointer: '/subject', message: 'is missing' }]],
    [{ subject: 5 }, 'tickets', [{ pointer: '/subject', message: 'must be string' }]],
    [
      { subject: 'a', kind: 'x' },
      'tickets',
      [{ pointer: '/kind', message: 'must be one of ["question","complaint"]' }],
    ],
    [{ subject: 'a', email: 'x' }, 'tickets', [{ pointer: '/email', message: 'must match format "email"' }]],
    [
      { subject: 'a', customer: { 'a/c': 1 } },
      'tickets',
      [{ pointer: '/customer/a~1c', message: 'is not a known field, did you mean "a/b"?' }],
    ],
    [
      { subject: 'a', subjekt: 'b' },
      'closed',
      [{ pointer: '/subjekt', message: 'is not a known field, did you mean "subject"?' }],
    ],
    [{ kind: 'x', email: 1 }, 'old', [{ pointer: '/subject' }, { pointer: '/kind' }, { pointer: '/email' }]],
    ['text', 'tickets', [{ pointer: '', message: 'must be object' }]],
    ['anything', 'elsewhere', []],
  ])('%j as %s', async (value, topic, problems) => {
    const codec = await createSerde({ folder }).codec(topic)
    expect(codec.validate(codec.decode(Buffer.from(JSON.stringify(value))))).toMatchObject(problems)
    expect(codec.validate(codec.decode(Buffer.from(JSON.stringify(value))))).toHaveLength(problems.length)
  })

  test.each([
    ['avro', 'schema_unusable', 'avro.avsc cannot be used: the record "A" has no fields'],
    ['proto', 'schema_unusable', 'no such Type or Enum'],
    ['empty', 'schema_unusable', 'it has no message'],
    ['two', 'schema_ambiguous', 'two.avsc'],
    ['broken', 'schema_unusable', 'not JSON'],
    ['misspelt', 'schema_unusable', 'requird'],
    ['list', 'schema_unusable', 'object'],
  ])('a schema that cannot be used: %s', async (topic, code, text) => {
    const serde = createSerde({ folder })
    await expect(serde.codec(topic)).rejects.toMatchObject({ name: 'InvalidInput', code })
    await expect(serde.codec(topic)).rejects.toThrow(text)
  })

  test('a folder that is not there has no schemas', async () => {
    const codec = await createSerde({ folder: join(folder, 'nowhere') }).codec('tickets')
    expect(codec.schema).toBeUndefined()
    expect(codec.validate({})).toEqual([])
  })
})
