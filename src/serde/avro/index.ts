import { errorMessage } from '../../core/errors.ts'
import type { Json } from '../../core/event.ts'
import type { SchemaProblem } from '../../core/serde.ts'
import {
  allReferences,
  badBytes,
  type Contract,
  noPrefix,
  problemsOf,
  type SchemaSource,
  unusable,
  violation,
} from '../schema.ts'
import { AvroReader, AvroWriter } from './binary.ts'
import { AvroCompiler } from './compile.ts'
import { type AvroType, parseAvro, undeclaredNames } from './schema.ts'

/**
 * A contract from an Avro schema (1.11). As plain JSON: bytes and fixed in base64; a long beyond 2^53 as a text of digits;
 * timestamps, dates and times as texts of ISO 8601; decimals as texts; enums by name; unions without naming the branch;
 * numbers that JSON lacks as `"NaN"`, `"Infinity"`, `"-Infinity"`. Throws `InvalidInput` (`schema_unusable`).
 */
export function avroContract(source: SchemaSource): Contract {
  const schema = parseText(source)
  const { type, compiled } = compile(source, schema)
  /** The last value without fault: callers validate and then encode the same one, which is checked once. */
  let sound: Json | undefined
  const validate = (value: Json): SchemaProblem[] => {
    const problems = problemsOf((report) => compiled.check(value, undefined, report))
    sound = problems.length === 0 ? value : undefined
    return problems
  }
  const decode = (bytes: Uint8Array): Json => {
    const reader = new AvroReader(bytes)
    const value = compiled.read(reader, 0)
    if (reader.left > 0) throw badBytes(`not of its Avro schema: ${reader.left} bytes are left at its end`)
    return value
  }
  return {
    format: 'avro',
    schema,
    fields: type.kind === 'record' ? new Set(type.fields.map(({ name }) => name)) : undefined,
    decode,
    decodeFramed: decode,
    framePrefix: noPrefix,
    encode(value) {
      if (value !== sound) {
        const problems = validate(value)
        if (problems.length > 0) throw violation(problems)
      }
      sound = undefined
      const writer = new AvroWriter()
      // Only a default that does not fit its own field can still fail.
      attempt(source.origin, () => compiled.write(value, writer))
      return writer.finish()
    },
    validate,
  }
}

function parseText({ text, origin }: Pick<SchemaSource, 'text' | 'origin'>): Json {
  // A registry may hold the bare name of a primitive type.
  if (/^\s*[a-z]+\s*$/.test(text)) return text.trim()
  try {
    return JSON.parse(text)
  } catch (error) {
    throw unusable(origin, `it is not JSON: ${errorMessage(error)}`, error)
  }
}

function compile(source: SchemaSource, schema: Json) {
  const names = new Map<string, AvroType>()
  for (const { source: reference } of allReferences(source)) {
    const referred = parseText(reference)
    attempt(reference.origin, () => parseAvro(referred, names))
  }
  return attempt(source.origin, () => {
    const type = parseAvro(schema, names)
    return { type, compiled: new AvroCompiler().compile(type) }
  })
}

function attempt<T>(origin: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw unusable(origin, errorMessage(error), error)
  }
}

/** The full names that a schema expects from other schemas. Throws `InvalidInput` (`schema_unusable`). */
export function avroReferences(text: string, origin: string): string[] {
  const schema = parseText({ text, origin })
  return attempt(origin, () => undeclaredNames(schema))
}
