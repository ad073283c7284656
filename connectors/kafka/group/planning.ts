import type { TopicPartition } from '../../../src/core/event.ts'
import { assign } from '../../../src/core/partition-assignment.ts'
import { matchesTopic } from '../../../src/core/topic-pattern.ts'
import type { Subscription } from './subscription.ts'

export interface Candidate extends Subscription {
  readonly id: string
}

/**
 * What the leader of a group gives to each member in one round. A partition that is to move is withheld as long as a
 * member owns it: that member sees that it has lost it, finishes, and joins again without it, and only the round after
 * that gives it on (incremental cooperative rebalancing, KIP-429). Members that lose nothing are not disturbed.
 *
 * `partitions` has the number of partitions of each topic that exists. Of two members that say they own the same
 * partition, the one with the later generation does.
 */
export function planRound(
  members: readonly Candidate[],
  partitions: ReadonlyMap<string, number>,
): Map<string, TopicPartition[]> {
  const owners = ownersOf(members)
  const asked = members.flatMap(({ topics }) => topics)
  const places = [...partitions]
    .filter(([topic]) => matchesTopic(asked, topic) || members.some(({ owned }) => owned.some(isOf(topic))))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([topic, count]) =>
      Array.from({ length: count }, (_, partition) => {
        return { topic, partition, owner: owners.get(partitionKey({ topic, partition })) }
      }),
    )
  const ordered = members.map(({ id, topics }, joined) => ({ id, topics, joined }))
  const planned = new Map(assign(ordered, places).map((place) => [partitionKey(place), place.member]))
  const plan = new Map<string, TopicPartition[]>(members.map(({ id }) => [id, []]))
  for (const { topic, partition, owner } of places) {
    // Whoever owns what nobody else could have keeps it: a member that is stopping has until then to finish.
    const member = planned.get(partitionKey({ topic, partition })) ?? owner
    if (member === undefined || (owner !== undefined && owner !== member)) continue
    plan.get(member)?.push({ topic, partition })
  }
  return plan
}

function ownersOf(members: readonly Candidate[]): Map<string, string> {
  const claims = new Map<string, { readonly id: string; readonly generation: number }>()
  for (const { id, owned, generation } of members)
    for (const partition of owned) {
      const key = partitionKey(partition)
      const other = claims.get(key)
      if (other === undefined || other.generation < generation) claims.set(key, { id, generation })
    }
  return new Map([...claims].map(([key, { id }]) => [key, id]))
}

function isOf(name: string): (partition: TopicPartition) => boolean {
  return ({ topic }) => topic === name
}

export function partitionKey({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}
