/** The Millrace SDK for browsers, workers, edge runtimes and Node. No dependency. */
import { Client, type ConnectOptions } from './client.ts'

export type {
  ChannelPosition,
  EventFrame,
  GapReason,
  JsonValue,
  PresenceMember,
  PresenceOptions,
  PublishedPosition,
  QueryRow,
  Similar,
  Since,
} from '../live/protocol.ts'
export type { Transport } from './carrier.ts'
export type {
  ChannelStatistics,
  Client,
  ConnectOptions,
  PublishOptions,
  QueryRows,
  SearchMatch,
  SearchQuery,
} from './client.ts'
export type { ConnectionState } from './connection.ts'
export { type ErrorPlace, MillraceClientError } from './errors.ts'
export type { Follow, Followed, FollowOptions } from './follow.ts'
export type { LiveQuery, LiveQueryEvents, LiveQueryOptions, QueryParams } from './live-query.ts'
export type { PositionStorage } from './saved-position.ts'
export type { WebSocketConstructor, WebSocketLike } from './socket.ts'
export type { Gap, LiveEvent, SubscribeOptions, Subscription, SubscriptionEvents } from './subscription.ts'
export type { Token } from './tokens.ts'

/**
 * `address` such as `http://127.0.0.1:8080`, or several of one service, of which one is used at a time. Nothing is sent
 * before it is needed.
 */
export function connect(address: string | URL | readonly (string | URL)[], options: ConnectOptions = {}): Client {
  return new Client(address, options)
}
