import { createHash } from 'node:crypto'
import type { FieldValue } from '../../src/core/filter.ts'
import { fieldKey, fieldOfKey, keyOfId } from '../../src/core/vector-rules.ts'
import type { Match, StoredPoint, VectorPoint } from '../../src/core/vector-store.ts'

export type Metadata = Record<string, string | number | boolean>

export interface Row {
  readonly id: string
  readonly values: number[]
  readonly metadata: Metadata
}

const own = { id: '_id', timestamp: '_timestamp', topic: '_topic', partition: '_partition', offset: '_offset' } as const
/** What Pinecone takes as an id. */
const possibleId = /^[\x20-\x7e]{1,512}$/
/** Digits that tell any two 32-bit floats apart. */
const floatDigits = 9

/** The record of an event: under its id, or the hash of one that Pinecone does not take (or looks like such a hash). */
export function keyOf(id: string): string {
  return keyOfId(id, possibleId.test(id), sha256)
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** Pinecone stores no null: a field without a value is left out. */
export function toRow({ id, vector, fields, timestamp, position }: VectorPoint): Row {
  const key = keyOf(id)
  const metadata: Metadata = {
    [own.timestamp]: timestamp,
    [own.topic]: position.topic,
    [own.partition]: position.partition,
    [own.offset]: position.offset,
    ...(key === id ? {} : { [own.id]: id }),
  }
  for (const [name, value] of Object.entries(fields)) if (value !== null) metadata[fieldKey(name)] = value
  return { id: key, values: Array.from(vector, (value) => Number(value.toPrecision(floatDigits))), metadata }
}

/** A query vector as Pinecone takes it. */
export function toValues(vector: Float32Array): number[] {
  return Array.from(vector)
}

/** Whether a record is what was written for a row, or for a later one. */
export function isWritten(row: Row, metadata: Readonly<Record<string, unknown>> | undefined): boolean {
  return metadata !== undefined && Object.values(own).every((key) => metadata[key] === row.metadata[key])
}

export function toMatch(
  key: string,
  score: number | undefined,
  metadata: Readonly<Record<string, unknown>> | undefined = {},
): Match {
  return { ...toStoredPoint(key, metadata), score: Math.max(-1, Math.min(1, score ?? 0)) }
}

export function toStoredPoint(key: string, metadata: Readonly<Record<string, unknown>>): StoredPoint {
  return {
    id: typeof metadata[own.id] === 'string' ? String(metadata[own.id]) : key,
    fields: readFields(metadata),
    timestamp: Number(metadata[own.timestamp]),
    position: {
      topic: String(metadata[own.topic]),
      partition: Number(metadata[own.partition]),
      offset: Number(metadata[own.offset]),
    },
  }
}

function readFields(metadata: Readonly<Record<string, unknown>>): Record<string, FieldValue> {
  return Object.fromEntries(
    Object.entries(metadata).flatMap(([key, value]) => {
      const name = fieldOfKey(key)
      return name !== undefined && isFieldValue(value) ? [[name, value]] : []
    }),
  )
}

function isFieldValue(value: unknown): value is FieldValue {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
}
