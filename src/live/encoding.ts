import type { Matched } from './channel-event.ts'
import type { ServerMessage } from './protocol.ts'

/** How messages become bytes for one kind of connection. */
export interface Encoding {
  readonly name: 'websocket' | 'sse'
  events(subscription: string, epoch: string, events: readonly Matched[]): Uint8Array
  message(message: ServerMessage, epoch: string | undefined): Uint8Array
}

const encoder = new TextEncoder()

export const webSocketEncoding: Encoding = {
  name: 'websocket',
  events: (subscription, _epoch, events) =>
    encoder.encode(
      `{"type":"events","subscription":${JSON.stringify(subscription)},"events":[${events.map(({ json }) => json).join(',')}]}`,
    ),
  message: (message) => encoder.encode(JSON.stringify(message)),
}

/**
 * Server-sent events: each live event is one `message` whose `id` is `epoch:offset`, so that a browser resumes by
 * itself with `Last-Event-ID`; everything else is a named event.
 */
export const sseEncoding: Encoding = {
  name: 'sse',
  events: (_subscription, epoch, events) =>
    encoder.encode(events.map(({ offset, json }) => `id: ${epoch}:${offset}\ndata: ${json}\n\n`).join('')),
  message: (message, epoch) => {
    if (message.type !== 'heartbeat')
      return encoder.encode(`event: ${message.type}\ndata: ${JSON.stringify(message)}\n\n`)
    const [offset] = Object.values(message.offsets)
    const id = epoch === undefined || offset === undefined ? '' : `id: ${epoch}:${offset}\n`
    return encoder.encode(`: heartbeat\n${id}\n`)
  },
}

/** Reads the `epoch:offset` of a server-sent event's id; undefined if it is none. */
export function parseEventId(id: string): { epoch: string; offset: number } | undefined {
  const match = /^(.+):(-1|\d{1,15})$/.exec(id)
  return match?.[1] === undefined ? undefined : { epoch: match[1], offset: Number(match[2]) }
}
