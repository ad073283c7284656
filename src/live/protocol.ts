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

/**
 * Where to begin: after a position, with the last n matching events, with what was appended since a time (milliseconds
 * since 1970) or since so many milliseconds ago (by the server's clock), or with what comes from now on (the default).
 */
export type Since =
  | ChannelPosition
  | { readonly last: number }
  | { readonly time: number }
  | { readonly ago: number }
  | 'latest'

export interface SubscribeOptions {
  /** A CEL expression over `value`, `key` and `timestamp`. An event that it fails on does not match. */
  readonly filter?: string | undefined
  readonly similar?: Similar | undefined
  readonly since?: Since | undefined
  /** A CEL expression: of events that wait, only the latest for each of its results is sent. */
  readonly conflate?: string | undefined
  /** Events a second at most; what is more is conflated if `conflate` is given, and else the newest are sent. */
  readonly maxRate?: number | undefined
  /**
   * Events may come as `DeltaFrame`s. `from`, after a resumption: the client still has the last value of each key of
   * every event from this offset on, as it would have, had the connection not broken.
   */
  readonly delta?: boolean | { readonly from: number } | undefined
  /** To be told who is on the channel. */
  readonly presence?: PresenceOptions | undefined
}

export interface PresenceOptions {
  /** Be there oneself. Default true; false only looks. */
  readonly join?: boolean | undefined
  /** What others are shown of this session. */
  readonly state?: JsonValue | undefined
}

export interface SubscribeRequest extends SubscribeOptions {
  readonly id: number
  readonly type: 'subscribe'
  readonly channel: string
}

export interface QueryOptions {
  /** Values of the query's parameters, by name. */
  readonly params?: Readonly<Record<string, JsonValue>> | undefined
  /** The version that the client has the rows of: if it is still that one, they are not sent again. */
  readonly since?: ChannelPosition | undefined
  /** Changes a second at most; what came meanwhile is in the next one. */
  readonly maxRate?: number | undefined
}

/** Subscribes to the rows of a query that the server knows by name. */
export interface QuerySubscribeRequest extends QueryOptions {
  readonly id: number
  readonly type: 'subscribe'
  readonly query: string
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
/** Changes what a subscription with `presence` shows of its session. */
export interface PresenceRequest {
  readonly id: number
  readonly type: 'presence'
  readonly subscription: string
  readonly state: JsonValue
}
export type ClientMessage =
  | SubscribeRequest
  | QuerySubscribeRequest
  | UnsubscribeRequest
  | PublishRequest
  | AuthenticateRequest
  | PresenceRequest

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
  /** Where an `id` can come again: the greater version is the newer event of it. */
  readonly version?: number | undefined
}

/** An event of which only what has changed is sent. */
export interface DeltaFrame extends Omit<EventFrame, 'value'> {
  readonly key: string
  /** Offset of the event, of the same key and received by this client, whose value `delta` applies to. */
  readonly base: number
  /** A JSON merge patch (RFC 7396). */
  readonly delta: JsonValue
}

/** The most keys whose last values are bases of deltas: a client that keeps so many, the latest, has every base. */
export const deltaKeys = 10_000

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
  readonly events: readonly (EventFrame | DeltaFrame)[]
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
/** The subscription is over; no event of it follows. */
export interface EndedMessage {
  readonly type: 'ended'
  readonly subscription: string
  readonly code: string
  readonly message: string
  /** Whether the client should subscribe again, from where it was. */
  readonly retry: boolean
}
/** The server is about to close the connection. */
export interface ReconnectMessage {
  readonly type: 'reconnect'
  /** Milliseconds to wait before connecting again: drawn for each client, so that they do not all come at once. */
  readonly after: number
  readonly reason: string
}

/** A session on a channel. */
export interface PresenceMember {
  readonly id: string
  readonly user: string
  readonly state: JsonValue
  /** Milliseconds since 1970. */
  readonly since: number
}
/** `members`: everyone there is, first of all and whenever the list begins anew. Otherwise who has come or changed, and who has left. */
export interface PresenceMessage {
  readonly type: 'presence'
  readonly subscription: string
  readonly members?: readonly PresenceMember[] | undefined
  readonly joined?: readonly PresenceMember[] | undefined
  /** Their ids. */
  readonly left?: readonly string[] | undefined
}

export type QueryRow = Readonly<Record<string, JsonValue>>
/** All rows of a query. */
export interface RowsMessage {
  readonly type: 'rows'
  readonly subscription: string
  /** Ascending; the `offset` to resume from. */
  readonly version: number
  readonly columns: readonly { readonly name: string; readonly type: string }[]
  readonly rows: readonly QueryRow[]
}
/** What has changed since the version sent before: `rows` by their index, of `length` in all. */
export interface ChangesMessage {
  readonly type: 'changes'
  readonly subscription: string
  readonly version: number
  readonly length: number
  readonly rows: readonly (readonly [index: number, row: QueryRow])[]
}
export type ServerMessage =
  | EndedMessage
  | ReconnectMessage
  | PresenceMessage
  | RowsMessage
  | ChangesMessage
  | { readonly id: number; readonly type: 'present' }
  | SubscribedMessage
  | EventsMessage
  | GapMessage
  | HeartbeatMessage
  | ErrorMessage
  | { readonly id: number; readonly type: 'unsubscribed' }
  | { readonly id: number; readonly type: 'published'; readonly positions: readonly PublishedPosition[] }
  | AuthenticatedMessage

export interface AuthenticatedMessage {
  readonly id: number
  readonly type: 'authenticated'
  /** Milliseconds since 1970 at which the session is closed unless it has authenticated again; null for never. */
  readonly expires: number | null
  readonly user: string
}

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
  /** Nothing was subscribed to and nothing asked for a long time. */
  idle: 4005,
  /** The token has expired: connect again with a new one. */
  tokenExpired: 4006,
  /** More requests than the server takes from one client: come back later. */
  tooManyRequests: 4007,
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
