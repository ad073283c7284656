import type { Codec } from '../core/serde.ts'
import { jsonContract, jsonReferences } from './json-schema.ts'
import type { Contract, SchemaSource, SchemaType } from './schema.ts'

/**
 * What a schema makes of values. `foreign` is one that comes from a registry, where others may have put it. The libraries of
 * a format are loaded when it is first met. Throws `InvalidInput` (`schema_unusable`).
 */
export async function compileContract(source: SchemaSource, foreign = false): Promise<Contract> {
  switch (source.type) {
    case 'AVRO':
      return (await import('./avro/index.ts')).avroContract(source)
    case 'PROTOBUF':
      return (await import('./protobuf/index.ts')).protobufContract(source, foreign)
    case 'JSON':
      return jsonContract(source, foreign)
  }
}

/** The names of the schemas that a schema refers to. Throws `InvalidInput` (`schema_unusable`). */
export async function referencesOf(type: SchemaType, text: string, origin: string): Promise<string[]> {
  switch (type) {
    case 'AVRO':
      return (await import('./avro/index.ts')).avroReferences(text, origin)
    case 'PROTOBUF':
      return (await import('./protobuf/files.ts')).protobufReferences(text, origin)
    case 'JSON':
      return jsonReferences(text, origin)
  }
}

/** Plain bytes, without a registry's framing. */
export function plainCodec({ format, schema, fields, decode, encode, validate }: Contract): Codec {
  return { format, schema, fields, decode, encode, validate }
}
