import { Fenced } from '../../src/core/errors.ts'
import type { TopicPartition } from '../../src/core/event.ts'
import type { Committed } from '../../src/core/event-log.ts'
import type { Member } from '../../src/core/partition-assignment.ts'
import { isProcessIdentity, liveness, type ProcessIdentity } from './process.ts'
import type { Store, Table } from './store.ts'

/** A group's position in one partition, and who may move it. */
export interface Place {
  readonly from: number
  readonly ends: readonly number[]
  readonly owner: string | null
  /** Goes up with every change of owner: a commit under an older one is refused. */
  readonly epoch: number
}

export interface MemberRecord extends Member {
  readonly process: ProcessIdentity
  /** Milliseconds since the Unix epoch; the member counts as gone afterwards. */
  readonly expires: number
}

const separator = '\0'

/** Members of groups, and the places of groups in partitions. */
export class GroupStore {
  readonly #places: Table
  readonly #members: Table

  constructor(store: Store) {
    this.#places = store.table('groups')
    this.#members = store.table('members')
  }

  place(group: string, { topic, partition }: TopicPartition): Place | undefined {
    const stored = this.#places.get(placeKey(group, topic, partition))
    if (!stored) return undefined
    const place: Place = JSON.parse(stored.toString())
    return place
  }

  setPlace(group: string, { topic, partition }: TopicPartition, place: Place): void {
    this.#places.putSync(placeKey(group, topic, partition), Buffer.from(JSON.stringify(place)))
  }

  /** Inside a transaction. Throws `Fenced` if the partition has gone to someone else. */
  commit(group: string, partition: TopicPartition, owner: string, epoch: number, { from, ends }: Committed): void {
    const place = this.place(group, partition)
    if (place?.owner !== owner || place.epoch !== epoch) throw fenced(group, partition)
    this.setPlace(group, partition, { from, ends, owner, epoch })
  }

  places(): { group: string; partition: TopicPartition; committed: Committed }[] {
    const all: { group: string; partition: TopicPartition; committed: Committed }[] = []
    for (const { key, value } of this.#places.getRange()) {
      const [group = '', topic = '', partition = ''] = key.toString().split(separator)
      const { from, ends }: Place = JSON.parse(value.toString())
      all.push({ group, partition: { topic, partition: Number(partition) }, committed: { from, ends } })
    }
    return all
  }

  setMember(group: string, member: MemberRecord): void {
    this.#members.putSync(memberKey(group, member.id), Buffer.from(JSON.stringify(member)))
  }

  removeMember(group: string, id: string): void {
    this.#members.removeSync(memberKey(group, id))
  }

  /**
   * Those whose lease runs and whose process is not known to be dead. A lease that ends later than any could, as after
   * the clock was set back, counts as over.
   */
  liveMembers(group: string, now: number, leaseMs: number): MemberRecord[] {
    const live: MemberRecord[] = []
    const start = Buffer.from(group + separator)
    const end = Buffer.from(`${group}\x01`)
    for (const { value } of this.#members.getRange({ start, end })) {
      const member: MemberRecord = JSON.parse(value.toString())
      const leased = member.expires > now && member.expires <= now + Math.max(leaseMs, 60_000) * 2
      if (leased && isProcessIdentity(member.process) && liveness(member.process) !== 'dead') live.push(member)
    }
    return live
  }

  /** Inside a transaction: forgets members that are gone. */
  removeDead(group: string, live: readonly MemberRecord[]): void {
    const ids = new Set(live.map((member) => member.id))
    const start = Buffer.from(group + separator)
    const keys = [...this.#members.getKeys({ start, end: Buffer.from(`${group}\x01`) })]
    for (const key of keys) {
      const id = key.toString().slice(group.length + 1)
      if (!ids.has(id)) this.#members.removeSync(key)
    }
  }
}

export function fenced(group: string, { topic, partition }: TopicPartition): Fenced {
  return new Fenced({
    code: 'partition_reassigned',
    message: `${topic}/${partition} of group "${group}" belongs to another member now`,
  })
}

export function leaseLost(group: string, { topic, partition }: TopicPartition): Fenced {
  return new Fenced({
    code: 'lease_lost',
    message: `${topic}/${partition} of group "${group}": this process did not renew its lease in time`,
  })
}

function placeKey(group: string, topic: string, partition: number): Buffer {
  return Buffer.from([group, topic, String(partition).padStart(5, '0')].join(separator))
}

function memberKey(group: string, id: string): Buffer {
  return Buffer.from(group + separator + id)
}
