import type { TopicPartition } from '../../../src/core/event.ts'
import { partitionKey } from './planning.ts'

export type HeldState = 'opening' | 'open' | 'leaving'

export interface Held {
  readonly partition: TopicPartition
  readonly state: HeldState
}

export interface Standing {
  /** What the last round has given to this member. */
  readonly assigned: readonly TopicPartition[]
  readonly held: readonly Held[]
  /** What this member said in the last round that it owns. */
  readonly claimed: readonly TopicPartition[]
  /** Nothing new is taken any more. */
  readonly stopped: boolean
}

export interface Steps {
  /** Assigned and not held yet. */
  readonly open: readonly TopicPartition[]
  /** Held and no longer assigned: to be finished and released. */
  readonly leave: readonly TopicPartition[]
  /** Whether the others are to learn that something which this member had is free now. */
  readonly rejoin: boolean
}

/** What a member has to do to get from what it holds to what it was given. */
export function reconcile({ assigned, held, claimed, stopped }: Standing): Steps {
  const given = new Map(assigned.map((partition) => [partitionKey(partition), partition]))
  const inHand = new Map(held.map((each) => [partitionKey(each.partition), each]))
  const told = new Map(claimed.map((partition) => [partitionKey(partition), partition]))
  const open = stopped ? [] : [...given].filter(([key]) => !inHand.has(key)).map(([, partition]) => partition)
  const leave = held.filter((each) => each.state !== 'leaving' && !given.has(partitionKey(each.partition)))
  const free = (key: string) => !inHand.has(key) && (stopped || !given.has(key))
  // One that was given and not taken is as free as one that was released.
  const rejoin = [...told.keys(), ...given.keys()].some(free)
  return { open, leave: leave.map(({ partition }) => partition), rejoin }
}
