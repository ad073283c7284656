import { matchesTopic } from './topic-pattern.ts'

export interface Member {
  readonly id: string
  /** Names or patterns, as the source was given them. */
  readonly topics: readonly string[]
  /** When it joined, milliseconds since the Unix epoch: earlier members come first. */
  readonly joined: number
}

export interface Owned {
  readonly topic: string
  readonly partition: number
  /** The member that holds the partition, if it is one of the live ones. */
  readonly owner: string | undefined
}

export interface Assigned {
  readonly topic: string
  readonly partition: number
  readonly member: string
}

/**
 * Who shall have which partition. Every member computes the same from the same state, so no leader is needed. Loads
 * differ by one at most among members with the same topics, and no partition moves unless that makes loads more even.
 */
export function assign(members: readonly Member[], partitions: readonly Owned[]): Assigned[] {
  const order = [...members].sort((a, b) => a.joined - b.joined || (a.id < b.id ? -1 : 1))
  const load = new Map(order.map((member) => [member.id, 0]))
  const loadOf = (id: string) => load.get(id) ?? 0
  const change = (id: string, by: number) => load.set(id, loadOf(id) + by)
  const candidates = (topic: string) => order.filter(({ topics }) => matchesTopic(topics, topic))
  const lightest = (topic: string) =>
    candidates(topic).reduce<string | undefined>(
      (best, { id }) => (best === undefined || loadOf(id) < loadOf(best) ? id : best),
      undefined,
    )

  const plan = partitions.map(({ topic, partition, owner }) => {
    const member = candidates(topic).find(({ id }) => id === owner)?.id
    if (member !== undefined) change(member, 1)
    return { topic, partition, member }
  })
  for (const place of plan) {
    if (place.member !== undefined) continue
    place.member = lightest(place.topic)
    if (place.member !== undefined) change(place.member, 1)
  }
  for (let moved = true; moved; ) {
    moved = false
    for (const place of plan) {
      const to = lightest(place.topic)
      if (to === undefined || place.member === undefined || loadOf(to) + 1 >= loadOf(place.member)) continue
      change(place.member, -1)
      change(to, 1)
      place.member = to
      moved = true
    }
  }
  return plan.flatMap(({ topic, partition, member }) => (member === undefined ? [] : [{ topic, partition, member }]))
}
