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

/**
 * State of one scope that is written before the commit it belongs to. A change prepared for `from` counts once the scope's
 * owner has committed a position of `from` or beyond; whoever takes the scope over at an earlier position finds what
 * stood there.
 */
export interface StateScope extends StateReader {
  /**
   * Durable when it resolves. A call for a later position says that the earlier one is committed; one for the same position
   * adds to it. Throws `Fenced` once someone else has taken the scope over. Without changes: does nothing.
   */
  prepare(from: number, changes: readonly StateChange[]): Promise<void>
}

/** Where state is kept when it cannot be part of the log's own commit. */
export interface StateStore {
  /**
   * Makes the caller the scope's only writer: whoever had it before can prepare nothing more. `committed` is the position
   * from which the caller goes on; it must have been read after the one before could no longer commit.
   */
  takeOver(scope: string, committed: number): Promise<StateScope>
  close(): Promise<void>
}
