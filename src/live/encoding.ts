import { deflatedTextFrame, textFrame } from './frame.ts'
import type { ServerMessage } from './protocol.ts'

/** An event as JSON, in full or as what has changed. */
export interface EventText {
  readonly offset: number
  readonly json: string
}

/** How messages become bytes for one kind of connection. */
export interface Encoding {
  readonly name: 'websocket' | 'sse'
  /** `shared`: the bytes go to many clients, so that some work on them pays. */
  events(subscription: string, epoch: string, events: readonly EventText[], shared: boolean): Uint8Array
  message(message: ServerMessage, epoch: string | undefined): Uint8Array
}

const encoder = new TextEncoder()

/** Messages as they are, for carriers that frame them themselves. */
export const jsonEncoding: Encoding = {
  name: 'websocket',
  events: (subscription, _epoch, events) => encoder.encode(eventsMessage(subscription, events)),
  message: (message) => encoder.encode(JSON.stringify(message)),
}

/** Whole frames of a WebSocket. */
export const webSocketEncoding: Encoding = {
  name: 'websocket',
  events: (subscription, _epoch, events) => textFrame(eventsMessage(subscription, events)),
  message: (message) => textFrame(JSON.stringify(message)),
}

/** From so many bytes on deflating pays: for many clients, and for one. */
const leastShared = 1_024
const leastOwn = 4_096

/** The same for clients with permessage-deflate: deflated where it pays. */
export const deflateEncoding: Encoding = {
  name: 'websocket',
  events: (subscription, _epoch, events, shared) =>
    deflatedTextFrame(eventsMessage(subscription, events), shared ? leastShared : leastOwn),
  message: (message) => deflatedTextFrame(JSON.stringify(message), leastOwn),
}

function eventsMessage(subscription: string, events: readonly EventText[]): string {
  const texts = events.map(({ json }) => json).join(',')
  return `{"type":"events","subscription":${JSON.stringify(subscription)},"events":[${texts}]}`
}

/**
 * Server-sent events: each live event is one `message` whose `id` is `epoch:offset`, so that a browser resumes by
 * itself with `Last-Event-ID`; everything else is a named event.
 */
export const sseEncoding: Encoding = {
  name: 'sse',
  events: (_subscription, epoch, events) =>
    encoder.encode(events.map(({ offset, json }) => `id: ${epoch}:${offset}\ndata: ${json}\n\n`).join('')),
  message: (message, epoch) => encoder.encode(serverSentEvent(message, epoch)),
}

function serverSentEvent(message: ServerMessage, epoch: string | undefined): string {
  switch (message.type) {
    case 'heartbeat': {
      const [offset] = Object.values(message.offsets)
      const id = epoch === undefined || offset === undefined ? '' : `id: ${epoch}:${offset}\n`
      return `: heartbeat\n${id}\n`
    }
    case 'reconnect':
      return `retry: ${message.after}\n\n`
    case 'subscribed':
      // With its id: a browser that is cut off before the first event goes on from here.
      return `event: subscribed\nid: ${message.epoch}:${message.offset}\ndata: ${JSON.stringify(message)}\n\n`
    default:
      return `event: ${message.type}\ndata: ${JSON.stringify(message)}\n\n`
  }
}

/** Reads the `epoch:offset` of a server-sent event's id; undefined if it is none. */
export function parseEventId(id: string): { epoch: string; offset: number } | undefined {
  const match = /^(.+):(-1|\d{1,15})$/.exec(id)
  return match?.[1] === undefined ? undefined : { epoch: match[1], offset: Number(match[2]) }
}
