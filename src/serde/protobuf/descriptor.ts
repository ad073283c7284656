import descriptor, { type IDescriptorProto, type IFieldDescriptorProto } from 'protobufjs/ext/descriptor/index.js'

// A CommonJS module whose names Node cannot tell beforehand.
const { FileDescriptorProto } = descriptor

/** The names of `FieldDescriptorProto.Type`, from 1 on. A group, a message and an enum are named by their type. */
const typeNames = [
  'double',
  'float',
  'int64',
  'uint64',
  'int32',
  'fixed64',
  'fixed32',
  'bool',
  'string',
  'group',
  'message',
  'bytes',
  'uint32',
  'enum',
  'sfixed32',
  'sfixed64',
  'sint32',
  'sint64',
]
const required = 2
const repeated = 3

/** What `descriptor.proto` has and the package's types leave out. */
interface Numbered {
  readonly number?: number
}
type Field = IFieldDescriptorProto & { readonly proto3Optional?: boolean }

/**
 * Some clients (Python's and Go's) register a `FileDescriptorProto` in base64 instead of a text. Answers the text of such
 * a file; any other text is answered as it is. Throws if the descriptor cannot be read.
 */
export function protoText(schema: string): string {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(schema.trim())) return schema
  const message = FileDescriptorProto.decode(Buffer.from(schema, 'base64'))
  const file = FileDescriptorProto.toObject(message, { enums: Number, longs: Number })
  const texts = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : [])
  const syntax = file.syntax === 'proto3' ? 'proto3' : 'proto2'
  return [
    `syntax = "${syntax}";`,
    ...(file.package ? [`package ${file.package};`] : []),
    ...texts(file.dependency).map((name) => `import "${name}";`),
    ...list<IDescriptorProto>(file.messageType).map((type) => messageText(type, syntax)),
    ...list<EnumDescriptor>(file.enumType).map(enumText),
  ].join('\n')
}

interface EnumDescriptor {
  readonly name?: string
  readonly value?: readonly ({ readonly name?: string } & Numbered)[]
}

function list<T>(value: readonly T[] | undefined): readonly T[] {
  return value ?? []
}

function messageText(type: IDescriptorProto, syntax: string): string {
  const entries = new Map(
    list(type.nestedType)
      .filter(({ options }) => options?.mapEntry === true)
      .map((entry) => [entry.name, entry]),
  )
  const oneofs = list(type.oneofDecl)
  const fields: readonly Field[] = list(type.field)
  const inOneof = (index: number) =>
    fields.filter((field) => field.oneofIndex === index && field.proto3Optional !== true)
  return [
    `message ${type.name} {`,
    ...fields
      .filter((field) => field.oneofIndex === undefined || field.proto3Optional === true)
      .map((field) => fieldText(field, entries, labelOf(field, syntax))),
    ...oneofs.flatMap(({ name }, index) => {
      const members = inOneof(index).map((field) => fieldText(field, entries, ''))
      return members.length === 0 ? [] : [`oneof ${name} {`, ...members, '}']
    }),
    ...list(type.nestedType)
      .filter(({ options }) => options?.mapEntry !== true)
      .map((nested) => messageText(nested, syntax)),
    ...list<EnumDescriptor>(type.enumType).map(enumText),
    '}',
  ].join('\n')
}

function labelOf({ label, proto3Optional }: Field, syntax: string): string {
  if (label === repeated) return 'repeated '
  if (syntax === 'proto3') return proto3Optional === true ? 'optional ' : ''
  return label === required ? 'required ' : 'optional '
}

function fieldText(field: Field, entries: ReadonlyMap<string | undefined, IDescriptorProto>, label: string): string {
  const entry = entries.get(field.typeName?.split('.').at(-1))
  const [key, value] = list(entry?.field)
  const { packed } = field.options ?? {}
  const options = [
    ...(packed === undefined ? [] : [`packed = ${packed}`]),
    ...(field.jsonName === undefined ? [] : [`json_name = ${JSON.stringify(String(field.jsonName))}`]),
  ]
  const written = options.length === 0 ? '' : ` [${options.join(', ')}]`
  if (key && value) return `map<${typeOf(key)}, ${typeOf(value)}> ${field.name} = ${field.number}${written};`
  return `${label}${typeOf(field)} ${field.name} = ${field.number}${written};`
}

function typeOf({ type = 0, typeName }: IFieldDescriptorProto): string {
  return typeName === undefined || typeName === '' ? (typeNames[type - 1] ?? 'unknown') : typeName
}

function enumText({ name, value }: EnumDescriptor): string {
  const values = list(value)
  const numbers = values.map(({ number = 0 }) => number)
  const alias = new Set(numbers).size < numbers.length ? ['option allow_alias = true;'] : []
  return [`enum ${name} {`, ...alias, ...values.map((entry) => `${entry.name} = ${entry.number ?? 0};`), '}'].join('\n')
}
