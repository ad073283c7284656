import { errorCode, errorMessage, MillraceError } from '../core/errors.ts'
import { asBuffer, type Event, type Headers, type LogRecord, noHeaders, noVectors, positionId } from '../core/event.ts'
import type { Expression } from '../core/expression.ts'
import type { Codec } from '../core/serde.ts'
import type { DeadLetter } from './dead-letters.ts'

export interface Decoded {
  readonly events: Event[]
  readonly deadLetters: DeadLetter[]
}

/** Bytes to events. What cannot be read becomes a dead letter; the records beside it go on. */
export function decodeRecords(
  records: readonly LogRecord[],
  codec: Codec,
  id: Expression<string> | undefined,
): Decoded {
  const events: Event[] = []
  const deadLetters: DeadLetter[] = []
  for (const record of records) {
    try {
      events.push(decodeRecord(record, codec, id))
    } catch (error) {
      const code = errorCode(error) ?? 'bad_bytes'
      deadLetters.push({ offset: record.offset, component: 'source', code, message: errorMessage(error) })
    }
  }
  return { events, deadLetters }
}

function decodeRecord(record: LogRecord, codec: Codec, id: Expression<string> | undefined): Event {
  const { topic, partition, offset, timestamp } = record
  const key = record.key === null ? null : text(record.key)
  const value = record.value === null ? null : codec.decode(record.value)
  const headers = decodeHeaders(record.headers)
  const position = { topic, partition, offset }
  const name = id ? givenId(id({ key, value, headers, timestamp, position })) : positionId(position)
  return { id: name, key, value, headers, timestamp, position, vectors: noVectors }
}

/** All events with an empty id would replace each other, which nobody means. */
function givenId(id: string): string {
  if (id !== '') return id
  throw new MillraceError({ code: 'empty_id', message: "The pipeline's `id` gives an empty text for this event." })
}

function decodeHeaders(headers: Headers): Event['headers'] {
  const names = Object.keys(headers)
  if (names.length === 0) return noHeaders
  return Object.fromEntries(Object.entries(headers).map(([name, bytes]) => [name, text(bytes)]))
}

function text(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('utf8')
}
