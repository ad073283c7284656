import fc from 'fast-check'
import protobuf from 'protobufjs'
import { describe, expect, test } from 'vitest'
import { errorCode } from '../../src/core/errors.ts'
import type { Json } from '../../src/core/event.ts'
import { protobufContract } from '../../src/serde/protobuf/index.ts'

const text = `
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/wrappers.proto";

message Order {
  int32 a_int32 = 1;
  int64 an_int64 = 2;
  uint32 a_uint32 = 3;
  uint64 a_uint64 = 4;
  sint32 a_sint32 = 5;
  sint64 a_sint64 = 6;
  fixed32 a_fixed32 = 7;
  fixed64 a_fixed64 = 8;
  sfixed32 a_sfixed32 = 9;
  sfixed64 a_sfixed64 = 10;
  float a_float = 11;
  double a_double = 12;
  bool a_bool = 13;
  string a_string = 14;
  bytes some_bytes = 15;
  Kind kind = 16;
  optional int32 maybe = 17;
  repeated sint64 packed = 18;
  repeated sint64 unpacked = 19 [packed = false];
  repeated string texts = 20;
  map<int64, Line> lines = 21;
  map<bool, string> flags = 22;
  Line line = 23;
  repeated Order orders = 24;
  oneof payment { string card = 25; Line cash = 26; int32 points = 27; }
}
enum Kind { NONE = 0; GIFT = 1; }
message Line { string sku = 1; int32 count = 2; }
message Known {
  google.protobuf.Timestamp at = 1;
  google.protobuf.Duration took = 2;
  google.protobuf.Struct struct = 3;
  google.protobuf.Value value = 4;
  google.protobuf.ListValue list = 5;
  google.protobuf.StringValue text = 6;
  google.protobuf.UInt64Value number = 7;
  google.protobuf.BoolValue flag = 8;
  repeated google.protobuf.Timestamp times = 9;
}
`

const contract = (schema = text) =>
  protobufContract({ type: 'PROTOBUF', text: schema, origin: 'test.proto', references: [] })
/** The contract of another message of the file, which then is the first. */
const known = () => contract(text.replace(/message Order \{[\s\S]*?\n\}\n/, '').replace(/message Line .*\n/, ''))

const wide = (min: bigint, max: bigint) =>
  fc.bigInt({ min, max }).map((value) => (Number.isSafeInteger(Number(value)) ? Number(value) : String(value)))
const signed = wide(-(2n ** 63n), 2n ** 63n - 1n)
const unsigned = wide(0n, 2n ** 64n - 1n)
const shown = (value: number) => (Number.isFinite(value) ? (Object.is(value, -0) ? 0 : value) : String(value))
const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const anyText = fc.string({ unit: 'grapheme' })
const line = fc.record({ sku: anyText, count: fc.integer() })
const payment = fc.oneof(
  fc.constant({}),
  fc.record({ card: anyText }),
  fc.record({ cash: line }),
  fc.record({ points: fc.integer() }),
)

const { order } = fc.letrec<{ order: Record<string, Json> }>((tie) => ({
  order: fc
    .tuple(
      fc.record({
        a_int32: fc.integer(),
        an_int64: signed,
        a_uint32: uint32,
        a_uint64: unsigned,
        a_sint32: fc.integer(),
        a_sint64: signed,
        a_fixed32: uint32,
        a_fixed64: unsigned,
        a_sfixed32: fc.integer(),
        a_sfixed64: signed,
        a_float: fc.float().map(shown),
        a_double: fc.double().map(shown),
        a_bool: fc.boolean(),
        a_string: anyText,
        some_bytes: fc.uint8Array({ maxLength: 9 }).map((bytes) => Buffer.from(bytes).toString('base64')),
        kind: fc.constantFrom('NONE', 'GIFT', 7),
        packed: fc.array(signed, { maxLength: 4 }),
        unpacked: fc.array(signed, { maxLength: 4 }),
        texts: fc.array(anyText, { maxLength: 3 }),
        lines: fc.dictionary(signed.map(String), line, { maxKeys: 3, noNullPrototype: true }),
        flags: fc.dictionary(fc.constantFrom('true', 'false'), anyText, { noNullPrototype: true }),
        orders: fc.oneof({ maxDepth: 2 }, fc.constant([]), fc.array(tie('order'), { maxLength: 2 })),
      }),
      fc.record({ maybe: fc.integer(), line }, { requiredKeys: [] }),
      payment,
    )
    .map(([always, sometimes, paid]) => ({ ...always, ...sometimes, ...paid })),
}))
const plain = (value: Json): Json => JSON.parse(JSON.stringify(value))

describe('Protobuf', () => {
  test('any message survives the way there and back', () => {
    const { encode, decode, validate } = contract()
    fc.assert(
      fc.property(order, (given) => {
        const value = plain(given)
        expect(validate(value)).toEqual([])
        expect(decode(encode(value))).toEqual(value)
      }),
      { numRuns: 300 },
    )
  })

  test('another implementation reads what is written, and is read', () => {
    const { encode, decode } = contract()
    const type = protobuf.parse(text, { keepCase: true }).root.lookupType('shop.Line')
    const wrapped = contract(text.replace(/message Order \{[\s\S]*?\n\}\n/, ''))
    fc.assert(
      fc.property(line, (value) => {
        expect(type.toObject(type.decode(wrapped.encode(value)), { defaults: true })).toEqual(value)
        expect(wrapped.decode(type.encode(type.fromObject(value)).finish())).toEqual(value)
      }),
    )
    expect(decode(encode({ line: {} }))).toMatchObject({ line: { sku: '', count: 0 } })
  })

  test('any bytes are a message, or bad bytes', () => {
    const { encode, decode } = contract()
    const mutated = fc.tuple(order, fc.nat(), fc.nat(255)).map(([value, at, byte]) => {
      const bytes = encode(plain(value))
      if (bytes.length > 0) bytes[at % bytes.length] = byte
      return bytes
    })
    fc.assert(
      fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 60 })), (bytes) => {
        try {
          const value = decode(bytes)
          expect(decode(encode(value))).toEqual(value)
        } catch (error) {
          expect(errorCode(error)).toBe('bad_bytes')
        }
      }),
      { numRuns: 500 },
    )
  })

  test('numbers are read packed and unpacked, whichever the schema says', () => {
    const { decode } = contract()
    expect(decode(Buffer.from('9001029001049a01020608', 'hex'))).toMatchObject({ packed: [1, 2], unpacked: [3, 4] })
  })

  test('unknown fields, and fields of another type, are passed over', () => {
    const { decode } = contract()
    expect(decode(Buffer.from('c03e070a0161720162', 'hex'))).toMatchObject({
      a_int32: 0,
      a_string: 'b',
    })
  })

  test('a message that comes in two parts is merged, and the last of a oneof counts', () => {
    const { decode } = contract()
    // line {sku: "a"}, line {count: 2}; card "x", points 5
    expect(decode(Buffer.from('ba01030a0161ba01021002ca010178d80105', 'hex'))).toMatchObject({
      line: { sku: 'a', count: 2 },
      points: 5,
    })
    expect(decode(Buffer.from('ca010178d80105', 'hex'))).not.toHaveProperty('card')
  })

  test('an entry of a map without a value has the value of an empty message', () => {
    const { decode } = contract()
    expect(decode(Buffer.from('aa01020807', 'hex'))).toMatchObject({ lines: { 7: { sku: '', count: 0 } } })
    const times = 'map<int32, google.protobuf.Timestamp> times = 1;'
    const known = contract(`syntax = "proto3"; import "google/protobuf/timestamp.proto"; message A { ${times} }`)
    expect(known.decode(Buffer.from('0a020807', 'hex'))).toEqual({ times: { 7: '1970-01-01T00:00:00Z' } })
  })

  test('a message that is nested deeper than it could be read is refused', () => {
    const { validate, encode, decode } = contract('syntax = "proto3"; message A { A a = 1; }')
    const nested = (depth: number): Json => (depth === 0 ? {} : { a: nested(depth - 1) })
    expect(decode(encode(nested(100)))).toEqual(nested(100))
    expect(validate(nested(101))).toEqual([
      { pointer: '/a'.repeat(101), message: 'is nested more than 100 levels deep' },
    ])
  })

  test('a field is not given twice, under both of its names', () => {
    const { validate } = contract()
    expect(validate({ a_int32: 1, aInt32: 2 })).toEqual([
      { pointer: '/aInt32', message: 'is given twice: it is a_int32' },
    ])
  })

  test('well-known types have their own forms', () => {
    const { encode, decode, validate } = known()
    const value = {
      at: '2026-01-31T12:00:00Z',
      took: '-1.500s',
      struct: { a: [1, null, { b: 'x' }], __proto__x: true },
      value: null,
      list: [1, 'a', []],
      text: '',
      number: '18446744073709551615',
      flag: false,
      times: ['1969-12-31T23:59:59.999Z', '0001-01-01T00:00:00.000000001Z'],
    }
    expect(validate(value)).toEqual([])
    expect(decode(encode(value))).toEqual(value)
    expect(decode(encode({}))).toEqual({ times: [] })
    expect(decode(encode({ at: 1_769_860_800_500 }))).toMatchObject({ at: '2026-01-31T12:00:00.500Z' })
    expect(validate({ at: 'soon', took: '5', struct: [], text: 5 }).map(({ pointer }) => pointer)).toEqual([
      '/at',
      '/took',
      '/struct',
      '/text',
    ])
  })

  test('any JSON is a google.protobuf.Value', () => {
    const { encode, decode } = known()
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5, noUnicodeString: false }), (given) => {
        const value = JSON.parse(JSON.stringify(given))
        expect(decode(encode({ value }))).toEqual({ value, times: [] })
      }),
    )
  })

  test.each<[value: Json, problems: [pointer: string, message: string][]]>([
    [5, [['', 'must be an object']]],
    [{ a_int32: 2 ** 31 }, [['/a_int32', 'must be an integer of 32 bits']]],
    [{ a_uint32: -1 }, [['/a_uint32', 'not negative']]],
    [{ an_int64: 2 ** 60 }, [['/an_int64', 'beyond 2^53 as a text of digits']]],
    [{ a_uint64: '18446744073709551616' }, [['/a_uint64', '64 bits, not negative']]],
    [{ kind: 'gift' }, [['/kind', 'must be one of ["NONE","GIFT"]']]],
    [{ some_bytes: '*' }, [['/some_bytes', 'base64']]],
    [{ lines: { x: {} } }, [['/lines/x', 'has a name that must be an integer']]],
    [{ lines: { 1: { sku: 1 } } }, [['/lines/1/sku', 'must be a text']]],
    [{ orders: [{ texts: ['a', null] }] }, [['/orders/0/texts/1', 'must be a text']]],
    [{ card: 'x', points: 1 }, [['/points', 'cannot be set beside card']]],
    [{ a_strng: 'x' }, [['/a_strng', 'did you mean "a_string"?']]],
  ])('%j does not fit', (value, problems) => {
    const { validate, encode } = contract()
    expect(validate(value)).toEqual(
      problems.map(([pointer, message]) => ({ pointer, message: expect.stringContaining(message) })),
    )
    expect(() => encode(value)).toThrow('the value does not fit its schema')
  })

  test('names of the JSON mapping are understood in writing, and null is absent', () => {
    const { encode, decode } = contract()
    expect(decode(encode({ aString: 'x', maybe: null, line: null }))).toMatchObject({ a_string: 'x' })
    expect(decode(encode({ maybe: null }))).not.toHaveProperty('maybe')
  })

  test("what others write may have the fields of any message, and a topic's own those of the first", () => {
    const schema = 'syntax = "proto3"; message A { int32 a = 1; } message B { message C { int32 c = 1; } C b = 1; }'
    const source = { type: 'PROTOBUF', text: schema, origin: 'test.proto', references: [] } as const
    expect([...(protobufContract(source).fields ?? [])]).toEqual(['a'])
    expect([...(protobufContract(source, true).fields ?? [])]).toEqual(['a', 'b', 'c'])
  })

  test('proto2: required fields, explicit presence', () => {
    const { encode, decode, validate } = contract(
      'syntax = "proto2"; message A { required int32 a = 1; optional int32 b = 2 [default = 5]; repeated int32 c = 3; }',
    )
    expect(validate({})).toEqual([{ pointer: '/a', message: 'is missing' }])
    expect(decode(encode({ a: 0 }))).toEqual({ a: 0, c: [] })
    expect(Buffer.from(encode({ a: 0, b: 0, c: [1, 2] })).toString('hex')).toBe('0800100018011802')
  })

  test('bytes that would overflow the stack are refused', () => {
    const { decode } = contract('syntax = "proto3"; message A { A a = 1; }')
    let bytes = Buffer.alloc(0)
    for (let depth = 0; depth < 200; depth += 1) {
      const writer = protobuf.Writer.create().uint32(10).bytes(bytes)
      bytes = Buffer.from(writer.finish())
    }
    expect(() => decode(bytes)).toThrow('nested more than 100 levels')
  })
})
