import type { Rejection } from './errors.ts'
import type { Position } from './event.ts'
import type { FieldValue, Filter } from './filter.ts'

export interface VectorPoint {
  /** The event's id: a second upsert under it replaces the first. */
  readonly id: string
  readonly vector: Float32Array
  readonly fields: Readonly<Record<string, FieldValue>>
  readonly timestamp: number
  readonly position: Position
}

/** A point as it is read back to be embedded anew: what it had beside its vector. */
export type StoredPoint = Omit<VectorPoint, 'vector'>

export interface CollectionSpec {
  readonly name: string
  /** Fingerprint of the model that made the vectors, or `none` for vectors that came with the events. */
  readonly fingerprint: string
  readonly dimension: number
  /** The names of the fields that are stored. */
  readonly fields: readonly string[]
}

export interface VectorQuery {
  readonly vector: Float32Array
  /** How many matches at most. */
  readonly k: number
  readonly filter?: Filter | undefined
  /** Cosine similarity, -1 to 1. */
  readonly minScore?: number | undefined
}

/** The search for words, beside that for meaning. */
export interface WordQuery {
  /** In lower case, each once, at least one. See `wordsOf`. */
  readonly words: readonly string[]
  /** What the matches' similarity is told to. */
  readonly vector: Float32Array
  /** How many matches at most. */
  readonly k: number
  readonly filter?: Filter | undefined
}

export interface Match {
  readonly id: string
  /** Cosine similarity, -1 to 1; descending in a result. */
  readonly score: number
  readonly fields: Readonly<Record<string, FieldValue>>
  readonly timestamp: number
  readonly position: Position
}

/** A named set of vectors with their fields. Safe for concurrent calls; what was upserted is found by the next search. */
export interface Collection {
  readonly spec: CollectionSpec
  /** Answers which points can never be accepted, such as a vector of the wrong dimension. */
  upsert(points: readonly VectorPoint[]): Promise<Rejection[]>
  delete(ids: readonly string[]): Promise<void>
  /** Throws `InvalidInput` for an unknown field in the filter or a vector of another dimension. */
  search(query: VectorQuery): Promise<Match[]>
  /**
   * Points with at least one of the words in their fields that hold texts: those with more and rarer ones first, as far as
   * the store can tell, so that whoever asks for enough of them has the best. `score` is the cosine similarity all the same.
   * Stores that cannot look for words leave it out.
   */
  readonly searchWords?: ((query: WordQuery) => Promise<Match[]>) | undefined
  count(): Promise<number>
  /**
   * Every point that was there when it began, in any order, in pages. What is written or deleted meanwhile may be in them
   * or not. Stores that cannot list their points leave it out.
   */
  scan?(): AsyncIterable<readonly StoredPoint[]>
}

export interface VectorStore {
  /**
   * Opens a collection, or creates it. Throws `Fatal` (`fingerprint_mismatch`) when it holds vectors of another model
   * or dimension: vectors of two models never mix. Fields that are new are added.
   */
  open(spec: CollectionSpec): Promise<Collection>
  /** The collection as it stands, or undefined. */
  find(name: string): Promise<Collection | undefined>
  collections(): Promise<readonly { readonly spec: CollectionSpec; readonly count: number }[]>
  close(): Promise<void>
}
