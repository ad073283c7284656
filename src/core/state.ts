import type { Json } from './event.ts'

/** `undefined` deletes the key. */
export interface StateChange {
  readonly key: string
  readonly value: Json | undefined
}

/** Durable keyed state, as of the last commit. */
export interface StateReader {
  get(keys: readonly string[]): Promise<(Json | undefined)[]>
  /** Keys in order that start with the prefix, with their values. */
  scan(prefix: string): AsyncIterable<readonly [key: string, value: Json]>
}

/**
 * What a stateful processor of one lane remembers. A change belongs to the offset that caused it and becomes durable
 * in the same commit as that offset, so a replay starts from exactly the state that stood at the committed position.
 */
export interface LaneState {
  get(keys: readonly string[]): Promise<(Json | undefined)[]>
  set(key: string, value: Json | undefined, offset: number): void
}
