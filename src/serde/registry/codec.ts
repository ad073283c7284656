import { Fatal } from '../../core/errors.ts'
import type { Json } from '../../core/event.ts'
import type { Codec, SchemaProblem } from '../../core/serde.ts'
import { decodeJson, encodeJson } from '../json.ts'
import { badBytes, type Contract } from '../schema.ts'
import type { Registry } from './registry.ts'

/** The framing of Confluent's clients: a zero, the schema's id as four bytes (big-endian), what the format puts there. */
const magic = 0
const headerBytes = 5

export interface RegistryCodecOptions {
  readonly registry: Registry
  /** The topic's schema, from its file or the registry. Without one, values are written as plain JSON. */
  readonly contract?: Contract | undefined
  /** The id under which `contract` is registered. Without it nothing can be written. */
  readonly id?: number | undefined
}

/**
 * Values that name their schema by id. Each is read by the schema that it names, whatever the topic's own is. Plain JSON is
 * read as well, unless the topic has an Avro or Protobuf schema.
 */
export function registryCodec({ registry, contract, id }: RegistryCodecOptions): Codec {
  const format = contract?.format ?? 'json'
  const prefix = id === undefined ? undefined : frame(id, contract?.framePrefix)
  return {
    format,
    fields: contract?.fields,
    schema: contract?.schema,
    load: (values) => registry.load(idsOf(values)),
    decode(bytes) {
      if (bytes[0] === magic) return decodeFramed(bytes, registry)
      if (format === 'json') return decodeJson(bytes)
      throw badBytes(`not framed with the id of its ${format} schema: it does not begin with a zero byte`)
    },
    encode(value: Json): Uint8Array {
      if (contract === undefined) return encodeJson(value)
      if (prefix === undefined) {
        const message = 'the topic was opened for reading: its schema is not registered, so nothing can be written'
        throw new Fatal({ code: 'schema_not_registered', message })
      }
      return Buffer.concat([prefix, contract.encode(value)])
    },
    validate: (value): SchemaProblem[] => contract?.validate(value) ?? [],
  }
}

function decodeFramed(bytes: Uint8Array, registry: Registry): Json {
  const id = idOf(bytes)
  if (id === undefined) throw badBytes('framed with the id of a schema, but it ends within the id')
  return registry.contract(id).decodeFramed(bytes.subarray(headerBytes))
}

function idOf(bytes: Uint8Array): number | undefined {
  if (bytes.length < headerBytes || bytes[0] !== magic) return undefined
  const [, a = 0, b = 0, c = 0, d = 0] = bytes
  return a * 0x1000000 + b * 0x10000 + c * 0x100 + d
}

function* idsOf(values: readonly (Uint8Array | null)[]): Generator<number> {
  let last: number | undefined
  for (const bytes of values) {
    const id = bytes === null ? undefined : idOf(bytes)
    if (id === undefined || id === last) continue
    last = id
    yield id
  }
}

function frame(id: number, prefix: Uint8Array = new Uint8Array(0)): Uint8Array {
  const header = Buffer.alloc(headerBytes)
  header.writeUInt32BE(id, 1)
  return Buffer.concat([header, prefix])
}
