import { createHash } from 'node:crypto'
import type { FieldValue } from '../../src/core/filter.ts'
import { fieldKey, fieldOfKey, isHashedKey, keyOfId } from '../../src/core/vector-rules.ts'
import type { Match, StoredPoint, VectorPoint } from '../../src/core/vector-store.ts'
import { wordsOfFields } from '../../src/core/words.ts'
import { column, maximumFieldsBytes, maximumKeyBytes, maximumTextBytes, wordsKey } from './schema.ts'

/** The columns of an answer: everything but the vector. */
export const resultColumns: string[] = [
  column.key,
  column.longId,
  column.fields,
  column.timestamp,
  column.topic,
  column.partition,
  column.offset,
]

export type Row = Record<string, string | number | Float32Array | Record<string, FieldValue | string[]>>

/** The primary key of an event: its id, or the hash of one that is too long (or looks like such a hash). */
export function keyOf(id: string): string {
  return keyOfId(id, id !== '' && Buffer.byteLength(id) <= maximumKeyBytes, sha256)
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

export function toRow({ id, vector, fields, timestamp, position }: VectorPoint): Row {
  const key = keyOf(id)
  const present = Object.entries(fields).flatMap(([name, value]) => (value === null ? [] : [[fieldKey(name), value]]))
  return {
    [column.key]: key,
    [column.vector]: vector,
    [column.fields]: { ...Object.fromEntries(present), [wordsKey]: wordsThatFit(fields) },
    [column.timestamp]: Math.round(timestamp),
    [column.topic]: position.topic,
    [column.partition]: position.partition,
    [column.offset]: position.offset,
    [column.longId]: key === id ? '' : id,
  }
}

/** A point's words, as many as there is room for beside its fields: no point is refused for the sake of them. */
function wordsThatFit(fields: VectorPoint['fields']): string[] {
  let room = maximumFieldsBytes - measure(fields)
  return [...new Set(wordsOfFields(fields))].filter((word) => {
    room -= Buffer.byteLength(word) + 3
    return room >= 0
  })
}

/** Bytes of a row on the wire, about: the fields, and their words once more. */
export function rowBytes({ id, vector, position }: VectorPoint, fieldsBytes: number): number {
  return vector.byteLength + 2 * fieldsBytes + 2 * id.length + position.topic.length + 32
}

/** Why Milvus could not hold what is beside the vector, or undefined; and how many bytes the fields take. */
export function measureFields({ id, fields }: VectorPoint): { readonly bytes: number; readonly problem?: string } {
  const bytes = measure(fields)
  if (bytes > maximumFieldsBytes) {
    return { bytes, problem: `The fields take ${bytes} bytes as JSON; Milvus stores ${maximumFieldsBytes}.` }
  }
  if (Buffer.byteLength(id) > maximumTextBytes) {
    return { bytes, problem: `The id is longer than ${maximumTextBytes} bytes, which is what Milvus stores.` }
  }
  return { bytes }
}

function measure(fields: VectorPoint['fields']): number {
  return Buffer.byteLength(JSON.stringify(fields)) + 80
}

/** Whether keys are in the order of their UTF-8, each once. */
export function isInOrder(keys: readonly string[]): boolean {
  const texts = keys.map((key) => Buffer.from(key))
  return texts.every((text, index) => index === 0 || Buffer.compare(texts[index - 1] ?? text, text) < 0)
}

/** One row of an answer. Milvus answers 64-bit integers as texts. */
export function toStoredPoint(row: Readonly<Record<string, unknown>>): StoredPoint {
  const key = String(row[column.key])
  const longId = String(row[column.longId] ?? '')
  return {
    id: isHashedKey(key) ? longId : key,
    fields: readFields(row[column.fields]),
    timestamp: Number(row[column.timestamp]),
    position: {
      topic: String(row[column.topic]),
      partition: Number(row[column.partition]),
      offset: Number(row[column.offset]),
    },
  }
}

/** One hit of a search. */
export function toMatch(hit: Readonly<Record<string, unknown>>): Match {
  return { ...toStoredPoint(hit), score: Math.max(-1, Math.min(1, Number(hit.score))) }
}

function readFields(value: unknown): Record<string, FieldValue> {
  if (typeof value !== 'object' || value === null) return {}
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, field]) => {
      const name = fieldOfKey(key)
      return name !== undefined && isFieldValue(field) ? [[name, field]] : []
    }),
  )
}

function isFieldValue(value: unknown): value is FieldValue {
  return value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
}
