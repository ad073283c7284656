import { InvalidInput } from './errors.ts'
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
  /**
   * There until `leave`, or until this process has not been heard of for a while. The same id again replaces it. Throws
   * `InvalidInput` (`presence_full`), and `Retryable` if the others cannot be told now: they are as soon as they can be.
   */
  join(channel: string, member: Member): Promise<void>
  /** Throws `Retryable` as `join` does. */
  leave(channel: string, id: string): Promise<void>
  /** Who came first comes first. */
  members(channel: string): Promise<readonly Member[]>
  /** How many members there are. */
  size(channel: string): Promise<number>
  /**
   * All members: first at once, and again whenever they have changed; ends when the signal fires. What changes while the
   * last list is being looked at is in the next one. Waits while the store is away.
   */
  watch(channel: string, signal: AbortSignal): AsyncIterable<readonly Member[]>
  /** How many subscriptions this process has on the channel now. */
  count(channel: string, subscriptions: number): void
  /** How many subscriptions the channel has, over all processes; a few seconds old perhaps. */
  subscriptions(channel: string): Promise<number>
  /** The members of this process leave. */
  close(): Promise<void>
}

/** The most members of one channel: every process that watches it holds all of them. */
export const channelMembers = 20_000

export function presenceFull(channel: string, limit: number): InvalidInput {
  return new InvalidInput({
    code: 'presence_full',
    message: `The channel "${channel}" has ${limit} members, which is as many as it may have.`,
    hint: 'Subscribe with `presence: { join: false }`, or part the audience into several channels.',
  })
}

/** By the time they came; those of one moment by id, so that the order is the same everywhere. */
export function inOrder(members: Iterable<Member>): Member[] {
  return [...members].sort((one, other) => one.since - other.since || (one.id < other.id ? -1 : 1))
}
