import type { Json } from './event.ts'
import type { RowFilter } from './principal.ts'

/** A session that says it is on a channel. */
export interface Member {
  /** Of the session on this channel; unique over all processes. */
  readonly id: string
  /** The principal's `id`. */
  readonly user: string
  /** What the session says of itself. */
  readonly state: Json
  /** Since when, in milliseconds since 1970. */
  readonly since: number
  /** What the session sees of the channel; who sees other rows does not see the member. */
  readonly rows?: RowFilter | undefined
}

/** Who is on which channel, over all processes that share it, and how many are subscribed. */
export interface Presence {
  /** There until `leave`, or until this process has not been heard of for a while. The same id again replaces it. */
  join(channel: string, member: Member): Promise<void>
  leave(channel: string, id: string): Promise<void>
  /** In the order in which they came. */
  members(channel: string): Promise<readonly Member[]>
  /** All members: first at once, and again whenever they have changed; ends when the signal fires. */
  watch(channel: string, signal: AbortSignal): AsyncIterable<readonly Member[]>
  /** How many subscriptions this process has on the channel now. */
  count(channel: string, subscriptions: number): void
  /** How many subscriptions the channel has, over all processes; a few seconds old perhaps. */
  subscriptions(channel: string): Promise<number>
  /** The members of this process leave. */
  close(): Promise<void>
}
