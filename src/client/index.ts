/** The Millrace SDK for browsers and Node. No dependency; on Node 20 live channels need the package `ws`. */
import { Client, type ConnectOptions } from './client.ts'

export type {
  ChannelPosition,
  EventFrame,
  GapReason,
  JsonValue,
  PublishedPosition,
  Similar,
  Since,
  SubscribeOptions,
} from '../live/protocol.ts'
export type { Client, ConnectOptions, QueryRows, SearchMatch, SearchQuery } from './client.ts'
export type { ConnectionState } from './connection.ts'
export { type ErrorPlace, MillraceClientError } from './errors.ts'
export type { WebSocketConstructor, WebSocketLike } from './socket.ts'
export type { Gap, Subscription, SubscriptionEvents } from './subscription.ts'

/** `address` such as `http://127.0.0.1:8080`. Nothing is sent before it is needed. */
export function connect(address: string | URL, options: ConnectOptions = {}): Client {
  return new Client(address, options)
}
