import type { Model } from '../models/model.ts'

/** What a worker thread is started with. */
export interface ThreadData {
  readonly model: Model
  /** Shared with the thread: the id of the task that it is at, 0 between two. If the thread ends, that task is to blame. */
  readonly running: Int32Array<SharedArrayBuffer>
}

/** Sent to a worker thread. After `close` it finishes the task that it is at, and ends. */
export type Order<Task> =
  | { readonly kind: 'task'; readonly id: number; readonly urgent: boolean; readonly task: Task }
  | { readonly kind: 'close' }

/** Sent by a worker thread: `ready` once, then an answer for each task; or `unusable` at any time, and it ends. */
export type Reply<Answer> =
  | { readonly kind: 'ready' }
  | { readonly kind: 'done'; readonly id: number; readonly answer: Answer }
  | { readonly kind: 'failed'; readonly id: number; readonly message: string }
  | { readonly kind: 'unusable'; readonly message: string }

/** Buffers of what is sent are transferred. */
export type Ints = Int32Array<ArrayBuffer>
export type Floats = Float32Array<ArrayBuffer>

/** One run of the model. */
export interface ModelTask {
  /** The texts' token ids one behind the other. */
  readonly ids: Ints
  /** How many of them each text has. */
  readonly lengths: readonly number[]
  /** For tests: the thread ends, as in a crash. */
  readonly crash: boolean
}

/** The texts' vectors one behind the other. */
export type ModelAnswer = Floats

/** `ids`: special tokens included, cut at the model's limit. `count`: of the whole text, special tokens left out. */
export interface TokenizerTask {
  readonly want: 'ids' | 'counts'
  readonly texts: readonly string[]
  readonly crash: boolean
}

/**
 * `counts`: one number for each text. `ids`: for each text the number of its ids, negative if it was cut, and then its ids.
 */
export type TokenizerAnswer = Ints
