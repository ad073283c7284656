import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Candidate, partitionKey, planRound } from '../../../../connectors/kafka/group/planning.ts'
import { type HeldState, reconcile } from '../../../../connectors/kafka/group/reconciliation.ts'
import {
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription,
} from '../../../../connectors/kafka/group/subscription.ts'
import type { TopicPartition } from '../../../../src/core/event.ts'

const place = fc.record({ topic: fc.constantFrom('a', 'b.c', 'ü'), partition: fc.nat(5) })
const byKey = (places: readonly TopicPartition[]) => places.map(partitionKey).sort()

describe('what members tell each other', () => {
  test('a subscription and an assignment arrive as they were sent', () => {
    const subscription = fc.record({
      topics: fc.array(fc.constantFrom('a', 'b.*', '*', 'ü')),
      owned: fc.uniqueArray(place, { selector: partitionKey }),
      generation: fc.integer({ min: -1, max: 2 ** 31 - 1 }),
    })
    fc.assert(
      fc.property(subscription, (sent) => {
        const arrived = decodeSubscription(encodeSubscription(sent, ['a', 'ü']))
        expect({ ...arrived, owned: byKey(arrived?.owned ?? []) }).toEqual({ ...sent, owned: byKey(sent.owned) })
        expect(byKey(decodeAssignment(encodeAssignment(sent.owned)))).toEqual(byKey(sent.owned))
      }),
    )
  })

  test('what another program wrote is no subscription, and no assignment', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (content) => {
        expect(decodeSubscription(Buffer.from(content))).toBeUndefined()
        expect(() => decodeAssignment(Buffer.from(content))).not.toThrow()
      }),
    )
    expect(decodeAssignment(Buffer.alloc(0))).toEqual([])
  })
})

describe('the plan of a round', () => {
  const candidate = (id: string, owned: TopicPartition[], generation = 1, topics = ['t']): Candidate => {
    return { id, topics, owned, generation }
  }
  const t = (partition: number) => ({ topic: 't', partition })

  test('withholds a partition that is to move as long as its owner has it', () => {
    const members = [candidate('a', [t(0), t(1)]), candidate('b', [])]
    const plan = planRound(members, new Map([['t', 2]]))
    expect(plan.get('a')).toHaveLength(1)
    expect(plan.get('b')).toEqual([])
  })

  test('gives it on in the round in which the owner no longer claims it', () => {
    const members = [candidate('a', [t(0)]), candidate('b', [])]
    const plan = planRound(members, new Map([['t', 2]]))
    expect(Object.fromEntries(plan)).toEqual({ a: [t(0)], b: [t(1)] })
  })

  test('leaves a member that takes nothing new what nobody else could have', () => {
    const alone = planRound([candidate('a', [t(0)], 1, [])], new Map([['t', 1]]))
    expect(alone.get('a')).toEqual([t(0)])
    const two = planRound([candidate('a', [t(0)], 1, []), candidate('b', [])], new Map([['t', 1]]))
    expect([two.get('a'), two.get('b')]).toEqual([[], []])
  })

  test('of two that claim a partition, the one with the later generation owns it', () => {
    const members = [candidate('a', [t(0)], 3), candidate('b', [t(0)], 7)]
    const plan = planRound(members, new Map([['t', 1]]))
    expect(Object.fromEntries(plan)).toEqual({ a: [], b: [t(0)] })
  })

  test('takes away the partitions of a topic that is gone', () => {
    expect(planRound([candidate('a', [t(0)])], new Map()).get('a')).toEqual([])
  })
})

/** A member as the simulation sees it: `joined` is what it said in the round that runs. */
interface Simulated {
  readonly id: string
  stopped: boolean
  gone: boolean
  readonly held: Map<string, { readonly partition: TopicPartition; state: HeldState }>
  assigned: readonly TopicPartition[]
  claimed: readonly TopicPartition[]
  generation: number
  wantsRound: boolean
}

type Move = { readonly do: 'come' | 'stop' | 'crash' | 'release' | 'reopen' | 'round' | 'sync'; readonly who: number }

/**
 * A whole group without a broker: rounds are planned from what members said when they joined, and each learns of its
 * assignment later than others do.
 */
class Simulation {
  readonly #topics = new Map([['t', 5]])
  readonly members: Simulated[] = []
  #generation = 0
  /** Assignments that members have yet to learn of. */
  readonly #unread = new Map<string, { readonly given: readonly TopicPartition[]; readonly generation: number }>()

  take({ do: what, who }: Move): void {
    const live = this.members.filter(({ gone }) => !gone)
    const member = live.length === 0 ? undefined : live[who % live.length]
    if (what === 'come' && live.length < 4) this.#come()
    else if (what === 'round') this.round()
    else if (!member) return
    else if (what === 'sync') this.#sync(member)
    else if (what === 'stop') member.stopped = true
    else if (what === 'crash') this.#crash(member)
    else if (what === 'release') this.#release(member)
    else if (what === 'reopen')
      for (const held of member.held.values()) if (held.state === 'opening') held.state = 'open'
    this.check()
  }

  #come(): void {
    const id = `m${this.members.length}`
    const fresh = { id, stopped: false, gone: false, held: new Map(), assigned: [], claimed: [], generation: -1 }
    this.members.push({ ...fresh, wantsRound: true })
  }

  /** Its session runs out: by its own clock it has given up everything before. */
  #crash(member: Simulated): void {
    member.held.clear()
    member.gone = true
    this.#unread.delete(member.id)
    for (const other of this.members) other.wantsRound = true
  }

  #release(member: Simulated): void {
    const leaving = [...member.held].find(([, { state }]) => state === 'leaving' || member.stopped)
    if (!leaving) return
    member.held.delete(leaving[0])
    this.#follow(member)
  }

  /** Everyone joins with what it has; nobody may join while it has not learnt of the round before. */
  round(): void {
    const live = this.members.filter(({ gone }) => !gone)
    if (!live.some(({ wantsRound }) => wantsRound)) return
    for (const member of live) this.#sync(member)
    this.#generation++
    const candidates = live.map((member) => {
      const owned = [...member.held.values()].map(({ partition }) => partition)
      member.claimed = owned
      member.wantsRound = false
      return { id: member.id, topics: member.stopped ? [] : ['t'], owned, generation: member.generation }
    })
    for (const [id, given] of planRound(candidates, this.#topics))
      this.#unread.set(id, { given, generation: this.#generation })
  }

  #sync(member: Simulated): void {
    const news = this.#unread.get(member.id)
    if (!news) return
    this.#unread.delete(member.id)
    member.assigned = news.given
    member.generation = news.generation
    this.#follow(member)
  }

  #follow(member: Simulated): void {
    const { assigned, claimed, stopped } = member
    const steps = reconcile({ assigned, held: [...member.held.values()], claimed, stopped })
    for (const partition of steps.leave) {
      const held = member.held.get(partitionKey(partition))
      if (held) held.state = 'leaving'
    }
    for (const partition of steps.open) member.held.set(partitionKey(partition), { partition, state: 'opening' })
    if (steps.rejoin) member.wantsRound = true
  }

  check(): void {
    const held = this.members.flatMap((member) => [...member.held.keys()])
    expect(new Set(held).size).toBe(held.length)
  }

  /** Nobody comes or goes any more, and everyone does what is asked. */
  settle(): void {
    for (const member of this.members) member.wantsRound = true
    for (let turn = 0; turn < 60; turn++) {
      this.round()
      for (const member of this.members) {
        this.#sync(member)
        for (let left = member.held.size; left > 0; left--) this.#release(member)
      }
      this.check()
    }
  }
}

test('whatever comes and goes, no partition has two owners, and in the end all are shared evenly', () => {
  const move = fc.record({
    do: fc.constantFrom<Move['do']>(
      'come',
      'come',
      'stop',
      'crash',
      'release',
      'reopen',
      'round',
      'round',
      'sync',
      'sync',
    ),
    who: fc.nat(3),
  })
  fc.assert(
    fc.property(fc.array(move, { maxLength: 60, size: 'max' }), (moves) => {
      const group = new Simulation()
      for (const each of moves) group.take(each)
      group.settle()
      const taking = group.members.filter(({ gone, stopped }) => !gone && !stopped)
      const shares = taking.map(({ held }) => held.size)
      expect(group.members.flatMap(({ held }) => [...held.values()]).every(({ state }) => state !== 'leaving')).toBe(
        true,
      )
      if (taking.length === 0) return
      expect(shares.reduce((sum, share) => sum + share, 0)).toBe(5)
      expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1)
    }),
    { numRuns: 300 },
  )
})
