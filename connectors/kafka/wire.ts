import type { ProtocolRequest } from 'kafkajs/src/network/connectionPool.js'

/** Writes the fields of a request, big endian, as the protocol guide names them (kafka.apache.org/protocol). */
export class WireWriter {
  readonly #parts: Buffer[] = []

  int8(value: number): this {
    return this.#add(1, (bytes) => bytes.writeInt8(value))
  }

  int16(value: number): this {
    return this.#add(2, (bytes) => bytes.writeInt16BE(value))
  }

  int32(value: number): this {
    return this.#add(4, (bytes) => bytes.writeInt32BE(value))
  }

  int64(value: number | bigint): this {
    return this.#add(8, (bytes) => bytes.writeBigInt64BE(BigInt(value)))
  }

  /** NULLABLE_STRING. */
  string(value: string | null): this {
    if (value === null) return this.int16(-1)
    const bytes = Buffer.from(value)
    return this.int16(bytes.length).raw(bytes)
  }

  /** COMPACT_NULLABLE_STRING of the flexible versions: the length plus one comes as an unsigned varint. */
  compactString(value: string | null): this {
    if (value === null) return this.unsignedVarint(0)
    const bytes = Buffer.from(value)
    return this.unsignedVarint(bytes.length + 1).raw(bytes)
  }

  unsignedVarint(value: number): this {
    const bytes: number[] = []
    let rest = value
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80)
    bytes.push(rest)
    return this.raw(Buffer.from(bytes))
  }

  /** BYTES and RECORDS. */
  bytes(value: Buffer): this {
    return this.int32(value.length).raw(value)
  }

  array<T>(values: readonly T[], write: (value: T) => void): this {
    this.int32(values.length)
    for (const value of values) write(value)
    return this
  }

  raw(bytes: Buffer): this {
    this.#parts.push(bytes)
    return this
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts)
  }

  #add(size: number, write: (bytes: Buffer) => void): this {
    const bytes = Buffer.allocUnsafe(size)
    write(bytes)
    return this.raw(bytes)
  }
}

/** Reads the fields of an answer. What leads out of the answer throws a `RangeError`. */
export class WireReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  int8(): number {
    return this.#bytes.readInt8(this.#step(1))
  }

  int16(): number {
    return this.#bytes.readInt16BE(this.#step(2))
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#step(4))
  }

  int64(): number {
    return Number(this.#bytes.readBigInt64BE(this.#step(8)))
  }

  string(): string | null {
    const length = this.int16()
    if (length < 0) return null
    const start = this.#step(length)
    return this.#bytes.toString('utf8', start, start + length)
  }

  /** A part of the answer, not a copy; empty for null. */
  bytes(): Buffer {
    const length = Math.max(0, this.int32())
    const start = this.#step(length)
    return this.#bytes.subarray(start, start + length)
  }

  array<T>(read: () => T): T[] {
    return Array.from({ length: Math.max(0, this.int32()) }, read)
  }

  rest(): Buffer {
    return this.#bytes.subarray(this.#at)
  }

  skip(bytes: number): void {
    this.#step(bytes)
  }

  #step(size: number): number {
    const start = this.#at
    if (start + size > this.#bytes.length) throw new RangeError('a broker answered less than its protocol says')
    this.#at = start + size
    return start
  }
}

export interface Call<T> {
  readonly apiKey: number
  readonly apiVersion: number
  readonly apiName: string
  readonly body: WireWriter
  readonly read: (answer: WireReader) => T
  /** How long the answer may take, milliseconds, if that is longer than usual. */
  readonly timeout?: number
}

/** What goes over a connection of kafkajs for a request that it does not make itself, or not as it is needed. */
export function protocolRequest<T>({ apiKey, apiVersion, apiName, body, read, timeout }: Call<T>): ProtocolRequest<T> {
  let answer: T | undefined
  return {
    request: {
      apiKey,
      apiVersion,
      apiName,
      encode: async () => {
        const buffer = body.finish()
        return { buf: buffer, buffer }
      },
    },
    response: {
      decode: async (payload: Buffer) => {
        answer = read(new WireReader(payload))
        return {}
      },
      parse: async () => {
        if (answer === undefined) throw new Error(`${apiName}: the answer was not read`)
        return answer
      },
    },
    ...(timeout !== undefined && { requestTimeout: timeout }),
  }
}
