import protobuf from 'protobufjs'
import { errorMessage } from '../../core/errors.ts'
import { allReferences, type SchemaSource, unusable } from '../schema.ts'
import { protoText } from './descriptor.ts'

export interface ProtobufFile {
  /** The messages at the file's top level, in its order. */
  readonly messages: readonly protobuf.Type[]
}

/** Parses a file with its imports. Throws `InvalidInput` (`schema_unusable`). */
export function parseProtobuf(source: SchemaSource): ProtobufFile {
  const root = new protobuf.Root()
  const loaded = new Set<string>()
  for (const { name, source: imported } of allReferences(source)) {
    loaded.add(name)
    parseInto(root, imported, loaded)
  }
  const { packageName, names } = parseInto(root, source, loaded)
  try {
    root.resolveAll()
    const place = packageName === '' ? root : root.lookup(packageName)
    const scope = place instanceof protobuf.Namespace ? place : root
    return { messages: names.map((name) => scope.lookupType(name)) }
  } catch (error) {
    throw unusable(source.origin, errorMessage(error), error)
  }
}

function parseInto(root: protobuf.Root, { text, origin }: SchemaSource, loaded: Set<string>) {
  try {
    const readable = protoText(text)
    const parsed = protobuf.parse(readable, root, { keepCase: true })
    for (const name of [...(parsed.imports ?? []), ...(parsed.weakImports ?? [])]) addWellKnown(root, name, loaded)
    const packageName = parsed.package ?? ''
    return { packageName, names: messageNames(readable, packageName) }
  } catch (error) {
    throw unusable(origin, errorMessage(error), error)
  }
}

/** The types that come with Protobuf are imported without being anyone's file. */
function addWellKnown(root: protobuf.Root, name: string, loaded: Set<string>): void {
  const known = protobuf.common.get(name)
  if (loaded.has(name) || known?.nested === undefined) return
  loaded.add(name)
  root.addJSON(known.nested)
}

/** Of the file alone: other files may add to the same package. */
function messageNames(text: string, packageName: string): string[] {
  const { root } = protobuf.parse(text, new protobuf.Root(), { keepCase: true })
  const place = packageName === '' ? root : root.lookup(packageName)
  return place instanceof protobuf.Namespace ? typesIn(place).map(({ name }) => name) : []
}

/** The messages that are declared in a message or at the top level of a file, in the order in which indexes count them. */
export function typesIn(place: protobuf.NamespaceBase): protobuf.Type[] {
  return place.nestedArray.filter((nested) => nested instanceof protobuf.Type)
}

/** The files that a file imports, without those that come with Protobuf. Throws `InvalidInput` (`schema_unusable`). */
export function protobufReferences(text: string, origin: string): string[] {
  try {
    const { imports = [], weakImports = [] } = protobuf.parse(protoText(text), new protobuf.Root())
    return [...new Set([...imports, ...weakImports])].filter((name) => !name.startsWith('google/protobuf/'))
  } catch (error) {
    throw unusable(origin, errorMessage(error), error)
  }
}
