import type { Model } from '../models/model.ts'

/** What a worker thread is started with. */
export interface ThreadData {
  readonly model: Model
  /** For tests: embedding exactly this text ends the thread, as a crash would. */
  readonly crashOn?: string | undefined
}

/** Sent to a worker thread, one at a time: the next only after the reply to the one before. */
export type Task =
  | { readonly kind: 'embed'; readonly texts: readonly string[] }
  | { readonly kind: 'count'; readonly texts: readonly string[] }
  | { readonly kind: 'close' }

/** Sent by a worker thread: `ready` or `unusable` once, then one reply for each task. */
export type Reply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'unusable'; readonly message: string }
  | EmbedReply
  | CountReply
  | { readonly kind: 'failed'; readonly message: string }

export interface EmbedReply {
  readonly kind: 'vectors'
  /** The texts' vectors one behind the other; its buffer is transferred. */
  readonly vectors: Float32Array<ArrayBuffer>
  /** Tokens that went through the model, padding left out. */
  readonly tokens: number
  /** How many of the texts were cut at the model's limit. */
  readonly truncated: number
}

export interface CountReply {
  readonly kind: 'counts'
  readonly counts: Uint32Array<ArrayBuffer>
}
