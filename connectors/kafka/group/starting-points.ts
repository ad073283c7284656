import type { TopicPartition } from '../../../src/core/event.ts'
import type { Committed, Start } from '../../../src/core/event-log.ts'
import type { Identity } from './membership.ts'
import { partitionKey } from './planning.ts'
import type { Positions } from './positions.ts'

export interface StartingPoint {
  readonly committed: Committed
  /** The first offset that can be read: above `committed.from` where records have expired. */
  readonly from: number
}

export interface StartOptions {
  readonly positions: Positions
  readonly start: Start
  /** As whom to remember where a new group begins. */
  readonly identity: Identity | undefined
}

/** Where each of the partitions goes on, by `partitionKey`. */
export async function startingPoints(
  places: readonly TopicPartition[],
  { positions, start, identity }: StartOptions,
): Promise<Map<string, StartingPoint>> {
  const committed = await positions.committed(places)
  const starts = await positions.bounds(places, 'start')
  const fresh = places.filter((partition) => !committed.has(partitionKey(partition)))
  const latest = start === 'latest' && fresh.length > 0
  const first = latest ? await positions.bounds(fresh, 'stable end') : starts
  for (const partition of fresh) {
    const key = partitionKey(partition)
    const position = { from: first.get(key) ?? 0, ends: [] }
    committed.set(key, position)
    // Remembered at once, so that a crash before the first commit skips nothing.
    if (latest && identity) await positions.commit(identity, partition, position)
  }
  return new Map(
    [...committed].map(([key, { from, ends }]) => {
      const readable = Math.max(from, starts.get(key) ?? 0)
      // What has expired is not to come any more. A block in flight keeps its start, which is part of its id.
      return [key, { committed: { from: ends.length === 0 ? readable : from, ends }, from: readable }]
    }),
  )
}
