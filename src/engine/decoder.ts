import { errorCode, errorMessage, MillraceError } from '../core/errors.ts'
import { type Event, type Headers, type LogRecord, noHeaders, noVectors, positionId } from '../core/event.ts'
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
  const decoded = {
    key: record.key === null ? null : text(record.key),
    value: record.value === null ? null : codec.decode(record.value),
    headers: decodeHeaders(record.headers),
    timestamp: record.timestamp,
    position: { topic: record.topic, partition: record.partition, offset: record.offset },
    vectors: noVectors,
  }
  return { id: id ? givenId(id(decoded)) : positionId(decoded.position), ...decoded }
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
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
}
