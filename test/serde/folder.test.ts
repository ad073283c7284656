import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createSerde } from '../../src/serde/index.ts'

const files: Readonly<Record<string, unknown>> = {
  'cart.avsc': {
    type: 'record',
    name: 'Cart',
    namespace: 'shop',
    fields: [
      { name: 'item', type: 'Item' },
      { name: 'more', type: { type: 'array', items: 'shop.Item' } },
      { name: 'price', type: 'money.Price' },
    ],
  },
  'shop.Item.avsc': {
    type: 'record',
    name: 'Item',
    namespace: 'shop',
    fields: [{ name: 'price', type: 'money.Price' }],
  },
  'money.Price.avsc': { type: 'enum', name: 'Price', namespace: 'money', symbols: ['LOW', 'HIGH'] },
  'alone.avsc': { type: 'record', name: 'Alone', fields: [{ name: 'a', type: 'gone.Away' }] },
  'order.proto':
    'syntax = "proto3"; package shop; import "common/money.proto"; message Order { common.Money total = 1; } message Second { int32 a = 1; }',
  'common/money.proto':
    'syntax = "proto3"; package common; import "common/currency.proto"; message Money { Currency currency = 1; int64 units = 2; }',
  'common/currency.proto': 'syntax = "proto3"; package common; enum Currency { EUR = 0; USD = 1; }',
  'circle.proto': 'syntax = "proto3"; import "circle.proto"; message A { int32 a = 1; }',
  'escape.proto': 'syntax = "proto3"; import "../secret.proto"; message A { int32 a = 1; }',
  'person.schema.json': {
    $id: 'https://example.com/person.schema.json',
    type: 'object',
    properties: {
      home: { $ref: 'address.schema.json' },
      work: { $ref: 'address.schema.json#/$defs/street' },
      boss: { $ref: '#' },
    },
  },
  'address.schema.json': { type: 'object', required: ['street'], $defs: { street: { type: 'string' } } },
}

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-folder-'))
  await mkdir(join(folder, 'common'))
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content))
  }
})
afterAll(() => rm(folder, { recursive: true }))

describe('schemas in files, without a registry', () => {
  test('Avro: named types of other files are found by their full names; bytes are plain', async () => {
    const codec = await createSerde({ folder }).codec('cart')
    expect(codec).toMatchObject({
      format: 'avro',
      schema: files['cart.avsc'],
      fields: new Set(['item', 'more', 'price']),
    })
    const value = { item: { price: 'HIGH' }, more: [{ price: 'LOW' }], price: 'LOW' }
    expect(codec.validate(value)).toEqual([])
    expect(Buffer.from(codec.encode(value)).toString('hex')).toBe('0202000000')
    expect(codec.decode(codec.encode(value))).toEqual(value)
    expect(codec.validate({ ...value, price: 'NONE' })).toMatchObject([{ pointer: '/price' }])
  })

  test('Protobuf: imports are found by their paths; bytes are the first message of the file', async () => {
    const codec = await createSerde({ folder }).codec('order')
    expect(codec).toMatchObject({ format: 'protobuf', schema: files['order.proto'], fields: new Set(['total']) })
    const value = { total: { currency: 'USD', units: 5 } }
    expect(codec.validate(value)).toEqual([])
    expect(Buffer.from(codec.encode(value)).toString('hex')).toBe('0a0408011005')
    expect(codec.decode(codec.encode(value))).toEqual(value)
  })

  test('JSON Schema: references are found by the names of their files', async () => {
    const codec = await createSerde({ folder }).codec('person')
    expect(codec.validate({ home: { street: 'a' }, work: 'b' })).toEqual([])
    expect(codec.validate({ home: {}, work: 5, boss: { work: 1 } })).toMatchObject([
      { pointer: '/home/street', message: 'is missing' },
      { pointer: '/work' },
      { pointer: '/boss/work' },
    ])
  })

  test.each([
    ['alone', 'gone.Away.avsc'],
    ['circle', 'refer to each other'],
    ['escape', 'outside of'],
  ])('what cannot be resolved is said: %s', async (topic, message) => {
    const codec = createSerde({ folder }).codec(topic)
    await expect(codec).rejects.toMatchObject({ name: 'InvalidInput', code: 'schema_unusable' })
    await expect(codec).rejects.toThrow(message)
  })
})
