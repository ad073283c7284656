import type { ErrorMessage, JsonValue, PublishedPosition, ServerMessage } from '../live/protocol.ts'
import { MillraceClientError } from './errors.ts'
import type { Stream } from './stream.ts'

/** Why a stream could not be had, or has ended. */
export type Refusal = Pick<ErrorMessage, 'code' | 'message' | 'retry'> & { readonly status?: number | undefined }

/** What a link tells whoever opened it. Nothing any more after `closed`. */
export interface LinkOwner {
  /** Streams can be asked for. */
  opened(): void
  /** The server is there. */
  heard(): void
  accepted(): void
  refused(stream: Stream, refusal: Refusal): void
  /** Milliseconds after which to come back. */
  advised(after: number): void
  /** The token is taken until then. */
  authenticated(until: number | null): void
  /** A newer token was refused; the session goes on with the one before. */
  notRenewed(error: Refusal): void
  /** One of `closeCodes`, or of the WebSocket protocol. */
  closed(code: number, reason: string): void
}

/** A connection to the server from its opening to its end, whatever carries it. */
export interface Link {
  ask(stream: Stream): void
  drop(stream: Stream): void
  /** Asks the server for a sign of life; false if it cannot be asked. */
  probe(): boolean
  /** Shows the server another token, where that is needed. */
  renew(token: string): void
  present(stream: Stream, state: JsonValue): Promise<void>
  /** Undefined if this link cannot. */
  publish?(
    topic: string,
    events: readonly JsonValue[],
    key: string | undefined,
  ): Promise<readonly PublishedPosition[]> | undefined
  close(): void
}

/** The connection broke, or was never there. */
export const broken = 1006

/** Brings what the server says about a stream to it. */
export function dispatch(message: ServerMessage, stream: Stream | undefined, owner: LinkOwner): void {
  switch (message.type) {
    case 'events':
    case 'gap':
    case 'presence':
    case 'rows':
    case 'changes':
      stream?.receive(message)
      return
    case 'ended':
      if (stream) owner.refused(stream, message)
      return
    case 'reconnect':
      owner.advised(message.after)
      return
    case 'error':
      stream?.warn(new MillraceClientError(message))
  }
}

export function parseMessage(data: unknown): ServerMessage | undefined {
  if (typeof data !== 'string') return undefined
  try {
    const message: unknown = JSON.parse(data)
    return isServerMessage(message) ? message : undefined
  } catch {
    return undefined
  }
}

/** The server is trusted to keep to the protocol; messages of a later version that are not known are let pass. */
function isServerMessage(message: unknown): message is ServerMessage {
  return typeof message === 'object' && message !== null && 'type' in message && typeof message.type === 'string'
}

export function needsWebSocket(what: string): MillraceClientError {
  const message = `${what} a WebSocket, and this connection has none: it is made of server-sent events.`
  return new MillraceClientError({ code: 'needs_websocket', message })
}
