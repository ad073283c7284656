import protobuf from 'protobufjs'
import { errorMessage, MillraceError } from '../../core/errors.ts'
import type { Json } from '../../core/event.ts'
import type { SchemaProblem } from '../../core/serde.ts'
import { badBytes, type Contract, problemsOf, type SchemaSource, unusable, violation } from '../schema.ts'
import { parseProtobuf, typesIn } from './files.ts'
import { type Message, MessageCompiler } from './message.ts'

/** Deeper messages are declared by no one. */
const maxIndexes = 32

/**
 * A contract from a Protobuf file. Its first message is what is written; framed values name theirs. As plain JSON, after
 * Protobuf's JSON mapping: fields by the names in the file (the mapping's own camelCase is understood in writing); fields
 * without presence always there; enums by name; 64-bit integers beyond 2^53 as texts; bytes in base64; Timestamp, Duration,
 * Struct, Value, ListValue and the wrappers in their special forms. What others put into a topic (`foreign`) may be of any of the
 * file's messages. Throws `InvalidInput` (`schema_unusable`).
 */
export function protobufContract(source: SchemaSource, foreign = false): Contract {
  const { messages } = parseProtobuf(source)
  const [first] = messages
  if (first === undefined) throw unusable(source.origin, 'it has no message')
  const compiler = new MessageCompiler()
  const compile = (type: protobuf.Type): Message => {
    try {
      return compiler.compile(type)
    } catch (error) {
      throw unusable(source.origin, errorMessage(error), error)
    }
  }
  const main = compile(first)
  /** The last value without fault: callers validate and then encode the same one, which is checked once. */
  let sound: Json | undefined
  const validate = (value: Json): SchemaProblem[] => {
    const problems = problemsOf((report) => main.check(value, undefined, report))
    sound = problems.length === 0 ? value : undefined
    return problems
  }
  return {
    format: 'protobuf',
    schema: source.text,
    fields: new Set(foreign ? messages.flatMap(fieldNamesIn) : main.fieldNames),
    decode: (bytes) => reading(bytes, (reader) => main.read(reader, reader.len, 0)),
    decodeFramed: (bytes) =>
      reading(bytes, (reader) => {
        const indexes = readIndexes(reader)
        const type = typeAt(messages, indexes)
        if (type === undefined) throw badBytes(`of the message [${indexes.join(', ')}], which its schema does not have`)
        return compile(type).read(reader, reader.len, 0)
      }),
    // The first message of the file: a single zero stands for [0].
    framePrefix: Uint8Array.of(0),
    encode(value) {
      if (value !== sound) {
        const problems = validate(value)
        if (problems.length > 0) throw violation(problems)
      }
      sound = undefined
      const writer = protobuf.Writer.create()
      main.write(value, writer)
      return new Uint8Array(writer.finish())
    },
    validate,
  }
}

/** The fields of a message and of those that are declared in it. */
function fieldNamesIn(type: protobuf.Type): string[] {
  return [...type.fieldsArray.map(({ name }) => name), ...typesIn(type).flatMap(fieldNamesIn)]
}

function reading(bytes: Uint8Array, read: (reader: protobuf.Reader) => Json): Json {
  try {
    return read(protobuf.Reader.create(bytes))
  } catch (error) {
    if (error instanceof MillraceError) throw error
    throw badBytes(`not of its Protobuf schema: ${errorMessage(error)}`)
  }
}

/** Which message of the file it is: a count and as many indexes, one for each level; all zigzag varints. */
function readIndexes(reader: protobuf.Reader): number[] {
  const count = reader.sint32()
  if (count === 0) return [0]
  if (count < 0 || count > maxIndexes) throw badBytes('not framed as Protobuf: it has no sound list of message indexes')
  return Array.from({ length: count }, () => reader.sint32())
}

function typeAt(
  messages: readonly protobuf.Type[],
  [index = -1, ...rest]: readonly number[],
): protobuf.Type | undefined {
  const type = messages[index]
  return type === undefined || rest.length === 0 ? type : typeAt(typesIn(type), rest)
}
