import type { Json } from './event.ts'

export interface SchemaProblem {
  /** JSON pointer into the value. */
  readonly pointer: string
  readonly message: string
}

/** Bytes to values and back, for one topic. */
export interface Codec {
  readonly format: string
  /** The fields that the topic's schema declares, if it has one. */
  readonly fields: ReadonlySet<string> | undefined
  /** The topic's schema as its author wrote it, if it has one. */
  readonly schema: Json | undefined
  /**
   * Fetches what `decode` needs for these values and does not have yet: schemas that the bytes name by id. `undefined` when
   * nothing is missing. Rejects with `Retryable` when the registry is down; what it does not know, `decode` refuses.
   */
  load?(values: readonly (Uint8Array | null)[]): Promise<void> | undefined
  /** Throws `InvalidInput` (`bad_bytes`, `unknown_schema`) for bytes that are no value of this format. */
  decode(bytes: Uint8Array): Json
  encode(value: Json): Uint8Array
  /** Everything in which the value breaks the topic's schema; empty when it fits or when there is no schema. */
  validate(value: Json): SchemaProblem[]
}

export interface Serde {
  /**
   * The codec of a topic: by its schema, else JSON. Throws `InvalidInput` for a schema file that cannot be used.
   *
   * Whoever encodes asks for it to `write`: where a registry is bound, the schema is registered first. That throws
   * `InvalidInput` (`incompatible_schema`, `schema_rejected`) for one that the registry does not take, and `Retryable` when
   * the registry is down. To `read` (the default) needs no registry until there are values to decode.
   */
  codec(topic: string, use?: 'read' | 'write'): Promise<Codec>
}
