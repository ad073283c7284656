import { randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Json } from '../../src/core/event.ts'
import type { Codec } from '../../src/core/serde.ts'
import { createSerde } from '../../src/serde/index.ts'
import { findPython } from '../services/artefacts.ts'
import { findService } from '../services/services.ts'
import { PythonClient } from './python.ts'

const registry = await findService('registry')
const python = findPython()

const avro = JSON.stringify({
  type: 'record',
  name: 'Order',
  namespace: 'shop',
  fields: [
    { name: 'id', type: 'long' },
    { name: 'kind', type: { type: 'enum', name: 'Kind', symbols: ['PLAIN', 'GIFT'] } },
    { name: 'blob', type: 'bytes' },
    { name: 'digest', type: { type: 'fixed', name: 'Digest', size: 4 } },
    { name: 'note', type: ['null', 'string'], default: null },
    { name: 'either', type: ['null', 'long', 'string', { type: 'array', items: 'double' }] },
    { name: 'labels', type: { type: 'map', values: 'int' } },
    { name: 'parts', type: { type: 'array', items: 'Order' } },
    { name: 'at', type: { type: 'long', logicalType: 'timestamp-micros' } },
    { name: 'day', type: { type: 'int', logicalType: 'date' } },
    { name: 'price', type: { type: 'bytes', logicalType: 'decimal', precision: 9, scale: 2 } },
    { name: 'price2', type: { type: 'fixed', name: 'Price', size: 5, logicalType: 'decimal', precision: 9, scale: 2 } },
    { name: 'ratio', type: 'float' },
  ],
})

/** An order as our codecs give it. */
function order(changes: Record<string, Json>): Record<string, Json> {
  return {
    id: 7,
    kind: 'GIFT',
    blob: 'AAAA',
    digest: 'AAECAw==',
    note: null,
    either: null,
    labels: {},
    parts: [],
    at: '2026-01-31T12:30:00.000123Z',
    day: '2026-01-31',
    price: '12.50',
    price2: '-0.07',
    ratio: 0.5,
    ...changes,
  }
}

const orders = [
  order({ either: 'zwölf ✓', labels: { 'ä/b': -3, '': 2147483647 }, note: '' }),
  order({ id: '-9223372036854775808', either: 5_000_000_000, parts: [order({ either: [0, 1.5] }), order({})] }),
  order({ id: 9007199254740991, at: '1969-12-31T23:59:59.999999Z', day: '1900-02-28', price: '-9999999.99' }),
]

const kinds = {
  id: 'int',
  blob: 'bytes',
  digest: 'bytes',
  at: 'datetime',
  day: 'date',
  price: 'decimal',
  price2: 'decimal',
}

const proto = `
syntax = "proto3";
package shop;
import "shop/money.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/wrappers.proto";

message Order {
  int64 id = 1;
  uint64 big = 2;
  sint32 small = 3;
  double ratio = 4;
  bool paid = 5;
  string name = 6;
  bytes blob = 7;
  Kind kind = 8;
  repeated string tags = 9;
  repeated int32 numbers = 10;
  map<string, int64> labels = 11;
  Money total = 12;
  google.protobuf.Timestamp at = 13;
  google.protobuf.Struct extra = 14;
  google.protobuf.Int64Value limit = 15;
  oneof payment {
    string card = 16;
    Money cash = 17;
  }
  optional string note = 18;
  repeated Order parts = 19;
}
enum Kind { KIND_UNSPECIFIED = 0; GIFT = 1; }
message Refund {
  int64 order = 1;
  message First { string a = 1; }
  message Second {
    string b = 1;
    message Inner { string c = 1; }
  }
}
`
const money = 'syntax = "proto3"; package shop; message Money { string currency = 1; int64 units = 2; }'

const nothing = {
  id: 0,
  big: 0,
  small: 0,
  ratio: 0,
  paid: false,
  name: '',
  blob: '',
  kind: 'KIND_UNSPECIFIED',
  tags: [],
  numbers: [],
  labels: {},
  parts: [],
}
const messages: Record<string, Json>[] = [
  nothing,
  {
    ...nothing,
    id: '-9223372036854775808',
    big: '18446744073709551615',
    small: -1,
    ratio: 'NaN',
    paid: true,
    name: 'zero\u0000byte ✓',
    blob: 'AAAAAA==',
    kind: 'GIFT',
    tags: ['', 'a'],
    numbers: [0, -1, 2147483647],
    labels: { '': 0, a: '9223372036854775807' },
    total: { currency: '', units: 0 },
    at: '2026-01-31T12:30:00.000123Z',
    extra: { a: [null, 1.5, 'x', true, {}], b: null },
    limit: 0,
    cash: { currency: 'EUR', units: 12 },
    note: '',
    parts: [{ ...nothing, card: '' }],
  },
]

const jsonSchema = JSON.stringify({
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'Order',
  type: 'object',
  required: ['id'],
  properties: { id: { type: 'integer' }, name: { type: 'string' } },
})

describe.skipIf(registry === undefined || python === undefined)("beside Confluent's Python client", () => {
  let folder: string
  let client: PythonClient
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'millrace-clients-'))
    client = new PythonClient(python ?? '', registry ?? '')
  })
  afterAll(async () => {
    client.close()
    await rm(folder, { recursive: true })
  })

  async function topicOf(files: Record<string, string> = {}): Promise<{ topic: string; open: () => Promise<Codec> }> {
    const topic = `clients-${randomUUID()}`
    const schemas = join(folder, topic)
    await mkdir(schemas)
    for (const [name, text] of Object.entries(files)) {
      const path = join(schemas, name.replace('TOPIC', topic))
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, text)
    }
    const serde = createSerde({ folder: schemas, registry: { url: registry ?? '' } })
    return { topic, open: () => serde.codec(topic, 'write') }
  }

  async function decodeAll(codec: Codec, bytes: readonly Uint8Array[]): Promise<Json[]> {
    await codec.load?.(bytes)
    return bytes.map((value) => codec.decode(value))
  }

  test('Avro written there is read here', async () => {
    const { topic, open } = await topicOf()
    const bytes = await client.write({ type: 'AVRO', topic, schema: avro, values: orders, kinds })
    expect(await decodeAll(await open(), bytes)).toEqual(orders)
  })

  test('Avro written here is read there, byte for byte what is written there', async () => {
    const { topic, open } = await topicOf({ 'TOPIC.avsc': avro })
    const codec = await open()
    for (const value of orders) expect(codec.validate(value)).toEqual([])
    const ours = orders.map((value) => codec.encode(value))
    const theirs = await client.write({ type: 'AVRO', topic, schema: avro, values: orders, kinds })
    // An array's block begins with its size in bytes there, which is optional; the rest is the same.
    expect(await decodeAll(codec, theirs)).toEqual(orders)
    expect(Buffer.from(ours[0] ?? []).subarray(0, 8)).toEqual(Buffer.from(theirs[0] ?? []).subarray(0, 8))
    const read = await client.read({ type: 'AVRO', topic }, ours)
    expect(read).toMatchObject([orders[0], { kind: 'GIFT', parts: [{ either: [0, 1.5] }, {}] }, orders[2]])
  })

  test('Protobuf written there is read here: imports, every kind of field, zero bytes', async () => {
    const { topic, open } = await topicOf()
    const bytes = await client.write({ type: 'PROTOBUF', topic, message: 'shop.Order', values: messages })
    expect(await decodeAll(await open(), bytes)).toEqual(messages)
  })

  test('Protobuf written here is read there', async () => {
    const { topic, open } = await topicOf({ 'TOPIC.proto': proto, 'shop/money.proto': money })
    const codec = await open()
    for (const value of messages) expect(codec.validate(value)).toEqual([])
    const ours = messages.map((value) => codec.encode(value))
    const read = await client.read({ type: 'PROTOBUF', topic, message: 'shop.Order' }, ours)
    expect(read[0]).toEqual({})
    expect(read[1]).toMatchObject({
      id: '-9223372036854775808',
      big: '18446744073709551615',
      small: -1,
      ratio: 'NaN',
      name: 'zero\u0000byte ✓',
      blob: 'AAAAAA==',
      kind: 'GIFT',
      tags: ['', 'a'],
      numbers: [0, -1, 2147483647],
      labels: { '': '0', a: '9223372036854775807' },
      total: {},
      at: '2026-01-31T12:30:00.000123Z',
      extra: { a: [null, 1.5, 'x', true, {}], b: null },
      limit: '0',
      cash: { currency: 'EUR', units: '12' },
      note: '',
      parts: [{ card: '' }],
    })
  })

  test.each<[message: string, value: Json]>([
    ['shop.Refund', { order: 5 }],
    ['shop.Refund.First', { a: 'x' }],
    ['shop.Refund.Second', { b: 'y' }],
    ['shop.Refund.Second.Inner', { c: 'z' }],
  ])('a message that is not the first of its file is read by its indexes: %s', async (message, value) => {
    const { topic, open } = await topicOf()
    const bytes = await client.write({ type: 'PROTOBUF', topic, message, values: [value] })
    expect(await decodeAll(await open(), bytes)).toEqual([value])
  })

  test('JSON Schema both ways', async () => {
    const values = [{ id: 1, name: 'ä' }, { id: 2 }]
    const { topic, open } = await topicOf({ 'TOPIC.schema.json': jsonSchema })
    const codec = await open()
    const ours = values.map((value) => codec.encode(value))
    expect(await client.read({ type: 'JSON', topic }, ours)).toEqual(values)
    const theirs = await client.write({ type: 'JSON', topic, schema: jsonSchema, values })
    expect(theirs[0]?.subarray(0, 5)).toEqual(Buffer.from(ours[0] ?? []).subarray(0, 5))
    expect(await decodeAll(codec, theirs)).toEqual(values)
  })

  test('an Avro schema that refers to another is read with it', async () => {
    const { topic, open } = await topicOf({
      'TOPIC.avsc': JSON.stringify({ type: 'record', name: 'Cart', fields: [{ name: 'item', type: 'ref.Item' }] }),
      'ref.Item.avsc': JSON.stringify({
        type: 'record',
        name: 'Item',
        namespace: 'ref',
        fields: [{ name: 'sku', type: 'string' }],
      }),
    })
    const codec = await open()
    const bytes = [codec.encode({ item: { sku: 'a' } })]
    const { open: openElsewhere } = await topicOf()
    expect(await decodeAll(await openElsewhere(), bytes)).toEqual([{ item: { sku: 'a' } }])
    expect(await client.read({ type: 'AVRO', topic }, bytes)).toEqual([{ item: { sku: 'a' } }])
  })
})
