import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { errorCode } from '../../src/core/errors.ts'
import type { Json } from '../../src/core/event.ts'
import { avroContract } from '../../src/serde/avro/index.ts'

const contract = (schema: unknown) =>
  avroContract({ type: 'AVRO', text: JSON.stringify(schema), origin: 'test.avsc', references: [] })

interface Sample {
  readonly schema: Json
  readonly value: fc.Arbitrary<Json>
}

const base64 = (size?: number) =>
  fc
    .uint8Array(size === undefined ? { maxLength: 12 } : { minLength: size, maxLength: size })
    .map((bytes) => Buffer.from(bytes).toString('base64'))
const long = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const plainLong = long.map((value) => (Number.isSafeInteger(Number(value)) ? Number(value) : String(value)))
const zero = (value: number) => (Object.is(value, -0) ? 0 : value)
const shown = (value: number) => (Number.isFinite(value) ? zero(value) : String(value))
const instant = (digits: number) =>
  fc
    .tuple(fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true }), fc.nat(999_999))
    .map(
      ([at, fine]) =>
        `${at.toISOString().slice(0, 23)}${String(fine)
          .padStart(6, '0')
          .slice(0, digits - 3)}Z`,
    )
// 64 bits of nanoseconds reach from 1677 to 2262.
const nanos = instant(9).map((text) => `20${text.slice(2)}`)

const scalars: Sample[] = [
  { schema: 'null', value: fc.constant(null) },
  { schema: 'boolean', value: fc.boolean() },
  { schema: 'int', value: fc.integer() },
  { schema: 'long', value: plainLong },
  { schema: 'float', value: fc.float().map(shown) },
  { schema: 'double', value: fc.double().map(shown) },
  { schema: 'bytes', value: base64() },
  { schema: 'string', value: fc.string({ unit: 'grapheme' }) },
  { schema: { type: 'long', logicalType: 'timestamp-millis' }, value: instant(3) },
  { schema: { type: 'long', logicalType: 'timestamp-micros' }, value: instant(6) },
  { schema: { type: 'long', logicalType: 'timestamp-nanos' }, value: nanos },
  {
    schema: { type: 'long', logicalType: 'local-timestamp-millis' },
    value: instant(3).map((text) => text.slice(0, -1)),
  },
  { schema: { type: 'int', logicalType: 'date' }, value: instant(3).map((text) => text.slice(0, 10)) },
  { schema: { type: 'int', logicalType: 'time-millis' }, value: instant(3).map((text) => text.slice(11, 23)) },
  { schema: { type: 'long', logicalType: 'time-micros' }, value: instant(6).map((text) => text.slice(11, 26)) },
  { schema: { type: 'string', logicalType: 'uuid' }, value: fc.uuid() },
  {
    schema: { type: 'bytes', logicalType: 'decimal', precision: 30, scale: 3 },
    value: fc.bigInt({ min: -(10n ** 27n) + 1n, max: 10n ** 27n - 1n }).map((whole) => `${whole}.250`),
  },
]

let names = 0
const name = (kind: string) => {
  names += 1
  return `${kind}${names}`
}

/** A schema with values of it, nested a few levels. */
const { sample } = fc.letrec<{ sample: Sample }>((tie) => ({
  sample: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.constantFrom(...scalars),
    fc.nat(5).map((size) => ({ schema: { type: 'fixed', name: name('Fixed'), size }, value: base64(size) })),
    fc.constant(null).map(() => ({
      schema: { type: 'enum', name: name('Enum'), symbols: ['A', 'B', 'C'] },
      value: fc.constantFrom('A', 'B', 'C'),
    })),
    tie('sample').map(({ schema, value }) => ({
      schema: { type: 'array', items: schema },
      value: fc.array(value, { maxLength: 4 }),
    })),
    tie('sample').map(({ schema, value }) => ({
      schema: { type: 'map', values: schema },
      value: fc.dictionary(fc.string(), value, { maxKeys: 4, noNullPrototype: true }),
    })),
    tie('sample')
      .filter(({ schema }) => schema !== 'null' && !Array.isArray(schema))
      .map(({ schema, value }) => ({ schema: ['null', schema], value: fc.option(value) })),
    fc.array(tie('sample'), { minLength: 1, maxLength: 4 }).map((fields) => ({
      schema: {
        type: 'record',
        name: name('Record'),
        fields: fields.map(({ schema }, index) => ({ name: `f${index}`, type: schema })),
      },
      value: fc.record(Object.fromEntries(fields.map(({ value }, index) => [`f${index}`, value]))),
    })),
  ),
}))

/** Records that came from fast-check have no prototype, which `toEqual` minds. */
const plain = (value: Json): Json => JSON.parse(JSON.stringify(value))

describe('Avro', () => {
  test('any value of any schema survives the way there and back', () => {
    fc.assert(
      fc.property(
        sample.chain(({ schema, value }) => fc.tuple(fc.constant(schema), fc.array(value, { maxLength: 5 }))),
        ([schema, values]) => {
          const { encode, decode, validate } = contract(schema)
          for (const given of values) {
            const value = plain(given)
            expect(validate(value)).toEqual([])
            expect(decode(encode(value))).toEqual(value)
          }
        },
      ),
      { numRuns: 300 },
    )
  })

  test('any bytes are a value that gives the same again, or bad bytes', () => {
    fc.assert(
      fc.property(sample, fc.uint8Array({ maxLength: 40 }), ({ schema }, bytes) => {
        const { encode, decode } = contract(schema)
        let value: Json
        try {
          value = decode(bytes)
        } catch (error) {
          expect(errorCode(error)).toBe('bad_bytes')
          return
        }
        // Times of day and instants beyond the calendar come out as numbers, which are not taken back.
        if (JSON.stringify(schema).includes('logicalType')) return
        expect(decode(encode(value))).toEqual(value)
      }),
      { numRuns: 500 },
    )
  })

  // The examples of the specification (Avro 1.11.1, "Binary Encoding").
  test.each<[schema: unknown, value: Json, hex: string]>([
    ['long', 0, '00'],
    ['long', -1, '01'],
    ['long', 1, '02'],
    ['long', -64, '7f'],
    ['long', 64, '8001'],
    ['long', '9223372036854775807', 'feffffffffffffffff01'],
    ['long', '-9223372036854775808', 'ffffffffffffffffff01'],
    ['string', 'foo', '06666f6f'],
    [{ type: 'array', items: 'long' }, [3, 27], '04063600'],
    [['null', 'string'], null, '00'],
    [['null', 'string'], 'a', '020261'],
    [
      {
        type: 'record',
        name: 'test',
        fields: ['a', 'b'].map((field, index) => ({ name: field, type: index === 0 ? 'long' : 'string' })),
      },
      { a: 27, b: 'foo' },
      '3606666f6f',
    ],
  ])('%j: %j is %s', (schema, value, hex) => {
    const { encode, decode } = contract(schema)
    expect(Buffer.from(encode(value)).toString('hex')).toBe(hex)
    expect(decode(Buffer.from(hex, 'hex'))).toEqual(value)
  })

  test('blocks may come in several parts, and with their size in bytes', () => {
    const { decode } = contract({ type: 'array', items: 'long' })
    expect(decode(Buffer.from('0206023600', 'hex'))).toEqual([3, 27])
    expect(decode(Buffer.from('0304063600', 'hex'))).toEqual([3, 27])
  })

  const order = {
    type: 'record',
    name: 'shop.Order',
    fields: [
      { name: 'id', type: 'long' },
      { name: 'kind', type: { type: 'enum', name: 'Kind', symbols: ['PLAIN', 'GIFT'] }, default: 'PLAIN' },
      { name: 'note', type: ['null', 'string'] },
      { name: 'either', type: ['null', 'long', 'boolean'], default: null },
      { name: 'blob', type: 'bytes', default: 'ÿ' },
      { name: 'parts', type: { type: 'array', items: 'shop.Order' }, default: [] },
      { name: 'at', type: ['null', { type: 'long', logicalType: 'timestamp-millis' }], default: null },
      { name: 'labels', type: { type: 'map', values: 'int' }, default: { a: 1 } },
    ],
  }

  test('what is left out has its default, and null where that is allowed', () => {
    const { encode, decode, fields } = contract(order)
    expect([...(fields ?? [])].slice(0, 3)).toEqual(['id', 'kind', 'note'])
    expect(decode(encode({ id: 1 }))).toEqual({
      id: 1,
      kind: 'PLAIN',
      note: null,
      either: null,
      blob: '/w==',
      parts: [],
      at: null,
      labels: { a: 1 },
    })
  })

  test('instants are taken as milliseconds as well', () => {
    const { encode, decode } = contract(order)
    expect(decode(encode({ id: 1, at: 1_769_860_800_123 }))).toMatchObject({ at: '2026-01-31T12:00:00.123Z' })
    expect(decode(encode({ id: 1, at: '2026-01-31T14:00:00+02:00' }))).toMatchObject({ at: '2026-01-31T12:00:00.000Z' })
  })

  test.each<[value: Json, problems: [pointer: string, message: string][]]>([
    [[], [['', 'must be an object']]],
    [{}, [['/id', 'is missing']]],
    [{ id: 1.5 }, [['/id', 'must be an integer of 64 bits']]],
    [{ id: 2 ** 60 }, [['/id', 'beyond 2^53 as a text of digits']]],
    [{ id: '9223372036854775808' }, [['/id', 'must be an integer of 64 bits']]],
    [{ id: 1, kind: 'NONE' }, [['/kind', 'must be one of ["PLAIN","GIFT"]']]],
    [{ id: 1, note: 5 }, [['/note', 'must be a text']]],
    [{ id: 1, either: 'x' }, [['/either', 'must be one of null, long, boolean']]],
    [{ id: 1, blob: '***' }, [['/blob', 'must be a text in base64']]],
    [
      { id: 1, parts: [{ id: 2 }, { id: 'x', 'a/b': 1 }] },
      [
        ['/parts/1/id', 'integer'],
        ['/parts/1/a~1b', 'is not a known field'],
      ],
    ],
    [{ id: 1, knd: 'GIFT' }, [['/knd', 'is not a known field, did you mean "kind"?']]],
    [{ id: 1, at: 'yesterday' }, [['/at', 'must be a time such as']]],
    [{ id: 1, at: '2026-02-30T00:00:00Z' }, [['/at', 'must be a time such as']]],
    [{ id: 1, labels: { x: 2 ** 31 } }, [['/labels/x', 'must be an integer of 32 bits']]],
  ])('%j does not fit', (value, problems) => {
    const { validate, encode } = contract(order)
    expect(validate(value)).toEqual(
      problems.map(([pointer, message]) => ({ pointer, message: expect.stringContaining(message) })),
    )
    expect(() => encode(value)).toThrow('the value does not fit its schema')
  })

  test('decimals keep their digits', () => {
    const { encode, decode, validate } = contract({ type: 'bytes', logicalType: 'decimal', precision: 6, scale: 2 })
    expect(decode(encode('-0.07'))).toBe('-0.07')
    expect(decode(encode(12.5))).toBe('12.50')
    expect(decode(encode('0'))).toBe('0.00')
    for (const value of ['1.234', '12345.67', 'x', true, null]) expect(validate(value)).toHaveLength(1)
  })

  test.each([
    [{ type: 'record', name: 'A', fields: [{ name: 'b', type: 'B' }] }, 'there is no type "B"'],
    [{ type: 'enum', name: 'A', symbols: [] }, 'has no symbols'],
    [{ type: 'record', fields: [] }, 'has no name'],
    [['null', { type: 'fixed', name: 'F', size: 1 }, { type: 'fixed', name: 'F', size: 2 }], 'declared twice'],
  ])('a schema that says nothing sound: %j', (schema, message) => {
    expect(() => contract(schema)).toThrow(message)
    expect(() => contract(schema)).toThrow('test.avsc')
  })

  test('bytes that would take endless memory or stack are refused', () => {
    const nulls = contract({ type: 'array', items: 'null' })
    expect(() => nulls.decode(Buffer.from('feffffff0f', 'hex'))).toThrow('more empty parts')
    const nested = contract({ type: 'record', name: 'A', fields: [{ name: 'a', type: ['null', 'A'] }] })
    expect(() => nested.decode(Buffer.alloc(100_000, 2))).toThrow('nested')
    // Four bytes for each inner array of 100,000 items that take none.
    const inner = Buffer.from('c09a0c00', 'hex')
    const outer = contract({ type: 'array', items: { type: 'array', items: 'null' } })
    const bomb = Buffer.concat([Buffer.from('d00f', 'hex'), ...Array<Buffer>(1000).fill(inner), Buffer.of(0)])
    expect(() => outer.decode(bomb)).toThrow('more empty parts')
  })

  test('a schema whose empty records multiply does not take endless memory', () => {
    let type: Json = { type: 'record', name: 'R0', fields: [] }
    for (let level = 1; level <= 40; level += 1)
      type = {
        type: 'record',
        name: `R${level}`,
        fields: [
          { name: 'a', type },
          { name: 'b', type: `R${level - 1}` },
        ],
      }
    expect(() => contract(type).decode(Buffer.alloc(0))).toThrow('more empty parts')
  })

  test('as many nulls as there are bytes for are a value', () => {
    const { decode } = contract({ type: 'array', items: ['null', 'int'] })
    const count = 300_000
    const head = Buffer.from([0xc0, 0xcf, 0x24])
    expect(decode(Buffer.concat([head, Buffer.alloc(count), Buffer.of(0)]))).toHaveLength(count)
  })

  test.each([
    ['one record', ['string', 'long', 'Node']],
    [
      'records that are alike',
      ['null', { type: 'record', name: 'Twin', fields: [{ name: 'next', type: 'Node' }] }, 'Node'],
    ],
  ])('values that are nested deep in unions with %s are checked and written in time', (_, branches) => {
    const { validate, encode, decode } = contract({
      type: 'record',
      name: 'Node',
      fields: [{ name: 'next', type: branches }],
    })
    let value: Json = { next: branches.includes('string') ? 'end' : null }
    for (let depth = 0; depth < 60; depth += 1) value = { next: value }
    const began = performance.now()
    expect(validate(value)).toEqual([])
    expect(decode(encode(value))).toEqual(value)
    expect(validate({ next: { next: { next: true } } })).not.toEqual([])
    expect(performance.now() - began).toBeLessThan(1000)
  })

  test('a number beyond the range of 32 bits is no float', () => {
    const { validate, encode, decode } = contract('float')
    expect(validate(1e300)).toEqual([{ pointer: '', message: expect.stringContaining('32 bits') }])
    expect(decode(encode('Infinity'))).toBe('Infinity')
    expect(decode(encode(3.402_823_466_385_288_6e38))).toBe(3.402_823_466_385_288_6e38)
  })

  test('a decimal of endless digits is refused before it takes endless time', () => {
    const { decode } = contract({ type: 'bytes', logicalType: 'decimal', precision: 6, scale: 2 })
    const head = Buffer.from([0x80, 0x80, 0x80, 0x08])
    const began = performance.now()
    expect(() => decode(Buffer.concat([head, Buffer.alloc(8 * 1024 * 1024, 0x77)]))).toThrow('decimal')
    expect(performance.now() - began).toBeLessThan(500)
  })

  test('a decimal may come as a number that JSON writes with an exponent', () => {
    const { encode, decode, validate } = contract({ type: 'bytes', logicalType: 'decimal', precision: 30, scale: 8 })
    expect(decode(encode(1e-7))).toBe('0.00000010')
    expect(decode(encode(-1.5e21))).toBe('-1500000000000000000000.00000000')
    expect(validate(1e-9)).toHaveLength(1)
    expect(validate(1e300)).toHaveLength(1)
  })
})
