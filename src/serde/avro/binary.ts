import { isUtf8 } from 'node:buffer'
import { asBuffer } from '../../core/event.ts'
import { integerJson } from '../numbers.ts'
import { badBytes } from '../schema.ts'

/** Parts that take no bytes, beyond as many as there are bytes: a few bytes could ask for any number of them. */
const mostEmpty = 100_000

/** Avro's binary encoding (Avro 1.11, "Binary Encoding"). Everything that reaches past the end is `bad_bytes`. */
export class AvroReader {
  readonly #bytes: Buffer
  #at = 0
  #empty = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = asBuffer(bytes)
  }

  /** Says that a part was read that takes no bytes. */
  empty(): void {
    this.#empty += 1
    if (this.#empty > mostEmpty + this.#bytes.length)
      throw badBytes('not of its Avro schema: it has more empty parts than any value would')
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  byte(): number {
    const byte = this.#bytes[this.#at]
    if (byte === undefined) throw endsTooEarly()
    this.#at += 1
    return byte
  }

  /** A zigzag varint of 64 bits; beyond 2^53 as bigint. */
  long(): number | bigint {
    let value = 0
    let scale = 1
    // Seven bytes are 49 bits, which a number holds exactly.
    for (let count = 0; count < 7; count += 1) {
      const byte = this.byte()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2
      scale *= 128
    }
    let wide = BigInt(value)
    for (let shift = 49n; shift < 70n; shift += 7n) {
      const byte = this.byte()
      wide |= BigInt(byte & 0x7f) << shift
      if (byte >= 0x80) continue
      if (wide >= 1n << 64n) throw badBytes('not of its Avro schema: an integer has more than 64 bits')
      const signed = (wide >> 1n) ^ -(wide & 1n)
      const number = Number(signed)
      return Number.isSafeInteger(number) ? number : signed
    }
    throw badBytes('not of its Avro schema: an integer has more than 64 bits')
  }

  longJson(): number | string {
    const value = this.long()
    return typeof value === 'number' ? value : integerJson(value)
  }

  int(): number {
    const value = this.long()
    if (typeof value === 'number' && value >= -2_147_483_648 && value <= 2_147_483_647) return value
    throw badBytes('not of its Avro schema: an int has more than 32 bits')
  }

  /** A length or an index. */
  count(): number {
    const value = this.long()
    if (typeof value === 'number') return value
    throw badBytes('not of its Avro schema: a length is out of range')
  }

  float(): number {
    return this.slice(4).readFloatLE(0)
  }

  double(): number {
    return this.slice(8).readDoubleLE(0)
  }

  bytes(): Buffer {
    return this.slice(this.count())
  }

  string(): string {
    const slice = this.bytes()
    const text = slice.toString('utf8')
    // Only broken bytes make this character, unless it was there to begin with.
    if (text.includes('\ufffd') && !isUtf8(slice)) throw badBytes('not of its Avro schema: a string is not UTF-8')
    return text
  }

  slice(length: number): Buffer {
    if (length < 0 || length > this.left) throw endsTooEarly()
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }
}

function endsTooEarly() {
  return badBytes('not of its Avro schema: it ends too early')
}

export class AvroWriter {
  #bytes = Buffer.allocUnsafe(256)
  #at = 0

  finish(): Uint8Array {
    return new Uint8Array(this.#bytes.subarray(0, this.#at))
  }

  byte(value: number): void {
    this.#room(1)
    this.#bytes[this.#at] = value
    this.#at += 1
  }

  long(value: number | bigint): void {
    if (typeof value === 'bigint' || Math.abs(value) > 2 ** 48) {
      this.#wide(BigInt(value))
      return
    }
    this.#room(8)
    let rest = value < 0 ? -2 * value - 1 : 2 * value
    while (rest >= 0x80) {
      this.#bytes[this.#at] = (rest % 128) | 0x80
      this.#at += 1
      rest = Math.floor(rest / 128)
    }
    this.#bytes[this.#at] = rest
    this.#at += 1
  }

  #wide(value: bigint): void {
    let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n))
    for (; rest >= 0x80n; rest >>= 7n) this.byte(Number(rest & 0x7fn) | 0x80)
    this.byte(Number(rest))
  }

  float(value: number): void {
    this.#room(4)
    this.#at = this.#bytes.writeFloatLE(value, this.#at)
  }

  double(value: number): void {
    this.#room(8)
    this.#at = this.#bytes.writeDoubleLE(value, this.#at)
  }

  bytes(value: Uint8Array): void {
    this.long(value.length)
    this.raw(value)
  }

  string(value: string): void {
    const length = Buffer.byteLength(value)
    this.long(length)
    this.#room(length)
    this.#bytes.write(value, this.#at, 'utf8')
    this.#at += length
  }

  raw(value: Uint8Array): void {
    this.#room(value.length)
    this.#bytes.set(value, this.#at)
    this.#at += value.length
  }

  #room(length: number): void {
    if (this.#at + length <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, this.#at + length))
    this.#bytes.copy(larger, 0, 0, this.#at)
    this.#bytes = larger
  }
}
