/** What can travel as an event's value: plain JSON. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json }
export type JsonObject = { readonly [name: string]: Json }

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

/** Identity of an event in the log. Offsets are integers below 2^53, ascending by one or more within a partition. */
export interface Position extends TopicPartition {
  readonly offset: number
}

export type Headers = Readonly<Record<string, Uint8Array>>

/** An event as bytes, before it has a place in the log. A `null` value is a tombstone. */
export interface NewRecord {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers?: Headers
  /** Milliseconds since the Unix epoch; the time of the append when left out. */
  readonly timestamp?: number
  /** Chosen from the key's hash (or round robin without a key) when left out. */
  readonly partition?: number
}

/** An event as the log holds it: bytes at a position. */
export interface LogRecord extends Position {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: Headers
  readonly timestamp: number
}

/** A decoded event on its way through a pipeline. Never changed in place: a processor makes a new one. */
export interface Event {
  /**
   * Unique within its pipeline and the same on every replay: the position, or what the pipeline's `id:` expression
   * says; `#n` is appended when one event becomes many.
   */
  readonly id: string
  readonly key: string | null
  /** `null` is a tombstone: delete what has this event's id. */
  readonly value: Json
  readonly headers: Readonly<Record<string, string>>
  /** Milliseconds since the Unix epoch. */
  readonly timestamp: number
  /** Where the event (or the one it was made from) stands in the source. */
  readonly position: Position
  /** Vectors by name. They travel beside the value, never inside it. */
  readonly vectors: Readonly<Record<string, Float32Array>>
}

export const noHeaders: Readonly<Record<string, never>> = Object.freeze({})
export const noVectors: Readonly<Record<string, never>> = Object.freeze({})

export function isTombstone(event: Event): boolean {
  return event.value === null
}

export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Bytes of key, value and headers together. */
export function sizeOf({ key, value, headers = noHeaders }: NewRecord): number {
  let bytes = (key?.length ?? 0) + (value?.length ?? 0)
  if (headers === noHeaders) return bytes
  for (const [name, content] of Object.entries(headers)) bytes += name.length + content.length
  return bytes
}

/** `topic/partition/offset`, the default id of an event. */
export function positionId(position: Position): string {
  return `${position.topic}/${position.partition}/${position.offset}`
}

/** Names one ordered stream of work: `pipeline/topic/partition`. */
export function laneName(pipeline: string, { topic, partition }: TopicPartition): string {
  return `${pipeline}/${topic}/${partition}`
}

/** The same bytes as a Buffer. Logs hand out Buffers mostly, and a view for each of their values would be dear. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
