/**
 * The live protocol `millrace.v1`: JSON text frames over a WebSocket. Types and constants only, so that the browser
 * client can use this file as it is. Each request has an `id`, which its reply repeats.
 */
export const protocolName = 'millrace.v1'

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [name: string]: JsonValue }

/** Identity of a point in a channel. An offset means nothing outside its epoch. */
export interface ChannelPosition {
  readonly epoch: string
  /** Of the last event that was seen; -1 before the first. */
  readonly offset: number
}

/** Events that mean about the same as a text, or whose vector is near. Exactly one of `text` and `vector`. */
export interface Similar {
  readonly text?: string | undefined
  readonly vector?: readonly number[] | undefined
  /** Least cosine similarity, -1 to 1. */
  readonly minScore?: number | undefined
}
export const defaultMinScore = 0.4

/** Where to begin: after a position, with the last n matching events, or with what comes from now on (the default). */
export type Since = ChannelPosition | { readonly last: number } | 'latest'

export interface SubscribeOptions {
  /** A CEL expression over `value`, `key` and `timestamp`. An event that it fails on does not match. */
  readonly filter?: string | undefined
  readonly similar?: Similar | undefined
  readonly since?: Since | undefined
  /** A CEL expression: of events that wait, only the latest for each of its results is sent. */
  readonly conflate?: string | undefined
  /** Events a second at most; what is more is conflated if `conflate` is given, and else the newest are sent. */
  readonly maxRate?: number | undefined
}

export interface SubscribeRequest extends SubscribeOptions {
  readonly id: number
  readonly type: 'subscribe'
  readonly channel: string
}
export interface UnsubscribeRequest {
  readonly id: number
  readonly type: 'unsubscribe'
  readonly subscription: string
}
export interface PublishRequest {
  readonly id: number
  readonly type: 'publish'
  readonly topic: string
  readonly events: readonly JsonValue[]
  /** JSON pointer to the key in each event. */
  readonly key?: string | undefined
}
export interface AuthenticateRequest {
  readonly id: number
  readonly type: 'authenticate'
  readonly token: string
}
export type ClientMessage = SubscribeRequest | UnsubscribeRequest | PublishRequest | AuthenticateRequest

export interface EventFrame {
  readonly offset: number
  /** The same for every version of an event; `value: null` retracts what was sent under it. */
  readonly id: string
  /** Milliseconds since the Unix epoch. */
  readonly time: number
  readonly key: string | null
  readonly value: JsonValue
  /** Cosine similarity to `similar`. */
  readonly score?: number | undefined
}

/**
 * `conflated`, `sampled`: some events from `from` to `to` were left out, for this client was slow or asked for it.
 * `expired`: events in this range are no longer kept.
 */
export type GapReason = 'conflated' | 'sampled' | 'expired'

export interface SubscribedMessage {
  readonly id: number
  readonly type: 'subscribed'
  readonly subscription: string
  readonly epoch: string
  /** What follows are the events after this offset. */
  readonly offset: number
  /** False when `since` named a position and not every event after it follows: load a snapshot. */
  readonly recovered: boolean
}
export interface EventsMessage {
  readonly type: 'events'
  readonly subscription: string
  readonly events: readonly EventFrame[]
}
export interface GapMessage {
  readonly type: 'gap'
  readonly subscription: string
  /** First and last offset that may be missing. */
  readonly from: number
  readonly to: number
  readonly reason: GapReason
  /** How many events, where that is known. */
  readonly count?: number | undefined
}
/** Sent every `heartbeatMs`: the connection lives, and every matching event up to these offsets has been sent. */
export interface HeartbeatMessage {
  readonly type: 'heartbeat'
  readonly offsets: Readonly<Record<string, number>>
}
export interface ErrorMessage {
  /** Null when the request could not be read, or when the error answers no request. */
  readonly id: number | null
  readonly type: 'error'
  readonly code: string
  readonly message: string
  /** Whether the same request may succeed later. */
  readonly retry: boolean
  readonly subscription?: string | undefined
}
export type ServerMessage =
  | SubscribedMessage
  | EventsMessage
  | GapMessage
  | HeartbeatMessage
  | ErrorMessage
  | { readonly id: number; readonly type: 'unsubscribed' }
  | { readonly id: number; readonly type: 'published'; readonly positions: readonly PublishedPosition[] }
  | { readonly id: number; readonly type: 'authenticated'; readonly expires: number | null }

export interface PublishedPosition {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

export const heartbeatMs = 20_000

/**
 * Why the server closed a connection. 1001 and 4000 to 4499: connect again and resume. 4500 to 4999: connecting again
 * cannot help until the client has changed something.
 */
export const closeCodes = {
  /** The server is shutting down. */
  goingAway: 1001,
  /** The client took nothing for too long. */
  slowClient: 4000,
  /** Nothing was heard from the client, not even answers to pings. */
  timedOut: 4001,
  /** The channel's offsets start anew. */
  epochChanged: 4002,
  serverError: 4003,
  /** As many sessions as the server allows. */
  overloaded: 4004,
  /** Frames that are no messages of this protocol. */
  badFrames: 4500,
  /** No valid token. */
  unauthenticated: 4501,
} as const

/** Codes of the WebSocket protocol itself that would come again: bad data, policy, too large. */
const terminalStandardCodes: ReadonlySet<number> = new Set([1002, 1003, 1007, 1008, 1009, 1010])

/** Whether a client should connect again after this close code. */
export function shouldReconnect(code: number): boolean {
  return !(code >= 4500 && code <= 4999) && !terminalStandardCodes.has(code)
}
