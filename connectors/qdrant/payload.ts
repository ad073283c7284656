import { createHash } from 'node:crypto'
import { z } from 'zod'
import { type FieldType, fieldKey, fieldOfKey } from '../../src/core/vector-rules.ts'
import type { Match, StoredPoint, VectorPoint } from '../../src/core/vector-store.ts'
import { wordsOfFields } from '../../src/core/words.ts'

/** The name space of our ids, a random UUID: points of other programs in it do not exist. */
const nameSpace = Buffer.from('5b1f0e9e6b3c4f0d9a5f0a6c2f7d4e81', 'hex')

/** Qdrant's ids are UUIDs: version 5 (RFC 9562) of the event's id, which itself stands in the payload. */
export function pointId(id: string): string {
  const hash = createHash('sha1').update(nameSpace).update(id).digest().subarray(0, 16)
  hash[6] = ((hash[6] ?? 0) & 0x0f) | 0x50
  hash[8] = ((hash[8] ?? 0) & 0x3f) | 0x80
  const hex = hash.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

/** The path of a field in the payload. What a path cannot hold (dots, quotes, blanks) is written in hexadecimal. */
export function fieldPath(field: string): string {
  return `fields.${fieldKey(field)}`
}

/** The field at a path of the payload, or undefined for a path that is none of a field. */
export function fieldOfPath(path: string): string | undefined {
  return path.startsWith('fields.') ? fieldOfKey(path.slice('fields.'.length)) : undefined
}

/** Where a point's words stand beside its fields. Their own indexes are for whole texts and heed case. */
export const wordsPath = 'words'
/** What is read of a point: everything else. */
export const pointPaths = ['id', 'fields', 'timestamp', 'position']

/** Fields that are null are left out: they are the same as missing ones. */
export function toPoint({ id, vector, fields, timestamp, position }: VectorPoint) {
  const present = Object.entries(fields).filter(([, value]) => value !== null)
  const stored = Object.fromEntries(present.map(([field, value]) => [fieldKey(field), value]))
  const words = [...new Set(wordsOfFields(fields))]
  const payload = { id, fields: stored, timestamp, position, ...(words.length === 0 ? {} : { [wordsPath]: words }) }
  return { id: pointId(id), vector: Array.from(vector), payload }
}

const payload = z.object({
  id: z.string(),
  fields: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).default({}),
  timestamp: z.number(),
  position: z.object({ topic: z.string(), partition: z.number(), offset: z.number() }),
})

export function toStoredPoint(point: { readonly payload?: unknown }): StoredPoint {
  const { id, fields, timestamp, position } = payload.parse(point.payload)
  const named = Object.entries(fields).map(([key, value]) => [fieldOfKey(key) ?? key, value] as const)
  return { id, fields: Object.fromEntries(named), timestamp, position }
}

export function toMatch(point: { readonly payload?: unknown; readonly score: number }): Match {
  return { ...toStoredPoint(point), score: Math.max(-1, Math.min(1, point.score)) }
}

const about = z.object({
  config: z.object({
    params: z.object({ vectors: z.object({ size: z.number() }) }),
    metadata: z.record(z.string(), z.unknown()).nullish(),
  }),
  payload_schema: z.record(z.string(), z.object({ data_type: z.string() })).default({}),
})
const millrace = z.object({ fingerprint: z.string() })
const metadataKey = 'millrace'
const fieldPrefix = 'millrace.field.'

export interface StoredCollection {
  readonly fingerprint: string
  readonly dimension: number
  readonly types: readonly (readonly [string, FieldType | null])[]
  /** Whether there is an index of the points' words. */
  readonly hasWords: boolean
}

/** What a new collection says about itself. Changes of it are merged by key, so processes do not undo each other's. */
export function metadataOf(fingerprint: string, fields: readonly string[]): Record<string, unknown> {
  return { [metadataKey]: { fingerprint }, ...fieldMetadata(fields) }
}

export function fieldMetadata(fields: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(fields.map((field) => [fieldPrefix + field, true]))
}

/** A collection as Qdrant describes it, or undefined for one that is not ours. */
export function readCollection(info: unknown): StoredCollection | undefined {
  const read = about.safeParse(info)
  const own = millrace.safeParse(read.data?.config.metadata?.[metadataKey])
  if (!read.success || !own.success) return undefined
  const { config, payload_schema: indexes } = read.data
  const types = new Map<string, FieldType | null>()
  for (const key of Object.keys(config.metadata ?? {})) {
    if (key.startsWith(fieldPrefix)) types.set(key.slice(fieldPrefix.length), null)
  }
  for (const [path, { data_type: type }] of Object.entries(indexes)) {
    const field = fieldOfPath(path)
    const held = typeOfIndex[type]
    if (field !== undefined && held !== undefined) types.set(field, held)
  }
  const dimension = config.params.vectors.size
  return { fingerprint: own.data.fingerprint, dimension, types: [...types], hasWords: wordsPath in indexes }
}

const typeOfIndex: Readonly<Record<string, FieldType>> = { keyword: 'string', float: 'number', bool: 'boolean' }

/** The payload index of a field. That of texts stays on the disk, since they may be long. */
export const indexOf = {
  string: { type: 'keyword', on_disk: true },
  number: 'float',
  boolean: 'bool',
} as const
