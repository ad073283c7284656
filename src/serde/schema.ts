import { InvalidInput } from '../core/errors.ts'
import type { Json } from '../core/event.ts'
import type { SchemaProblem } from '../core/serde.ts'

/** The languages of schemas, as registries name them. */
export const schemaTypes = ['AVRO', 'PROTOBUF', 'JSON'] as const
export type SchemaType = (typeof schemaTypes)[number]

/** The text of a schema, with the schemas that it refers to. */
export interface SchemaSource {
  readonly type: SchemaType
  /** As its author wrote it. For Protobuf it may also be a `FileDescriptorProto` in base64, as some clients register it. */
  readonly text: string
  /** Names it in messages: its file, or its place in the registry. */
  readonly origin: string
  readonly references: readonly SchemaReference[]
}

export interface SchemaReference {
  /** As the schema writes it: an Avro full name, the path of a Protobuf import, a JSON Schema `$ref` without its fragment. */
  readonly name: string
  readonly source: SchemaSource
}

/** What a schema makes of values. */
export interface Contract {
  readonly format: 'json' | 'avro' | 'protobuf'
  readonly schema: Json
  /** The fields that it declares, where events can have no others. */
  readonly fields: ReadonlySet<string> | undefined
  /** Throws `InvalidInput` (`bad_bytes`). */
  decode(bytes: Uint8Array): Json
  /** What follows a schema's id in a registry's framing. Throws `InvalidInput` (`bad_bytes`). */
  decodeFramed(bytes: Uint8Array): Json
  /** Throws `InvalidInput` (`schema_violation`) for a value that `validate` finds fault with. */
  encode(value: Json): Uint8Array
  /** What stands between a schema's id and the value in a registry's framing. */
  readonly framePrefix: Uint8Array
  validate(value: Json): SchemaProblem[]
}

export const noPrefix = new Uint8Array(0)

/** Everything that a schema refers to, directly or through others, once each and after what it needs itself. */
export function allReferences({ references }: SchemaSource): SchemaReference[] {
  const found = new Map<string, SchemaReference>()
  for (const reference of references) {
    for (const inner of [...allReferences(reference.source), reference]) found.set(inner.name, inner)
  }
  return [...found.values()]
}

export function badBytes(message: string): InvalidInput {
  return new InvalidInput({ code: 'bad_bytes', message: `the value is ${message}` })
}

export function unusable(origin: string, why: string, cause?: unknown): InvalidInput {
  return new InvalidInput({ code: 'schema_unusable', message: `the schema ${origin} cannot be used: ${why}`, cause })
}

export function violation(problems: readonly SchemaProblem[]): InvalidInput {
  const all = problems.map(({ pointer, message }) => `${pointer === '' ? 'the value' : pointer} ${message}`)
  return new InvalidInput({ code: 'schema_violation', message: `the value does not fit its schema: ${all.join('; ')}` })
}

/** More of them help nobody, and a hostile value could have millions. */
export const maxProblems = 20

/** Where in a value something is, from the inside out: cheap to make, as nearly all of them are never shown. */
export interface Place {
  readonly within: Place | undefined
  readonly name: string | number
}

export type Report = (place: Place | undefined, message: string) => void

/** The problems that a check reports, up to a bound. */
export function problemsOf(check: (report: Report) => void): SchemaProblem[] {
  const problems: SchemaProblem[] = []
  check((place, message) => {
    if (problems.length < maxProblems) problems.push({ pointer: pointerOf(place), message })
  })
  return problems
}

function pointerOf(place: Place | undefined): string {
  return place === undefined ? '' : childPointer(pointerOf(place.within), place.name)
}

/** The pointer (RFC 6901) of a member. */
export function childPointer(pointer: string, name: string | number): string {
  return `${pointer}/${String(name).replaceAll('~', '~0').replaceAll('/', '~1')}`
}

/** Sets a member of an object under construction, whatever its name. */
export function put(target: Record<string, Json>, name: string, value: Json): void {
  if (name === '__proto__') {
    Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true })
  } else target[name] = value
}
