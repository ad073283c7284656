import fc from 'fast-check'
import { expect, test } from 'vitest'
import { assign, type Member, type Owned } from '../../src/core/partition-assignment.ts'

const topics = ['a', 'b', 'c']

/** Some members with all topics, and partitions that are held by some of them, by someone gone, or by nobody. */
const group = fc
  .record({
    members: fc.uniqueArray(fc.nat(9), { minLength: 1, maxLength: 6 }),
    owners: fc.array(fc.tuple(fc.constantFrom(...topics), fc.option(fc.nat(9), { nil: undefined })), { maxLength: 12 }),
  })
  .map(({ members, owners }) => ({
    members: members.map((id, joined): Member => ({ id: `m${id}`, topics, joined })),
    partitions: owners.map(([topic, owner], partition): Owned => {
      return { topic, partition, owner: owner === undefined ? undefined : `m${owner}` }
    }),
  }))

function loads(members: readonly Member[], plan: readonly { readonly member: string }[]): number[] {
  return members.map(({ id }) => plan.filter(({ member }) => member === id).length)
}

test('every partition has one member, and loads differ by one at most', () => {
  fc.assert(
    fc.property(group, ({ members, partitions }) => {
      const plan = assign(members, partitions)
      expect(plan.map(({ topic, partition }) => ({ topic, partition }))).toEqual(
        partitions.map(({ topic, partition }) => ({ topic, partition })),
      )
      const shares = loads(members, plan)
      expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1)
    }),
  )
})

test('the plan is the same for all, whatever order they see the members in, and stays once it is in force', () => {
  fc.assert(
    fc.property(group, ({ members, partitions }) => {
      const plan = assign(members, partitions)
      expect(assign([...members].reverse(), partitions)).toEqual(plan)
      const inForce = plan.map(({ topic, partition, member }) => ({ topic, partition, owner: member }))
      expect(assign(members, inForce)).toEqual(plan)
    }),
  )
})

test('no more partitions move than must', () => {
  fc.assert(
    fc.property(group, ({ members, partitions }) => {
      const held = new Map(members.map(({ id }) => [id, partitions.filter(({ owner }) => owner === id).length]))
      const plan = assign(members, partitions)
      const fewest = Math.floor(partitions.length / members.length)
      for (const { id } of members) {
        const kept = plan.filter((place, index) => place.member === id && partitions[index]?.owner === id).length
        expect(kept).toBeGreaterThanOrEqual(Math.min(held.get(id) ?? 0, fewest))
      }
    }),
  )
})

test('a topic goes only to members that read it', () => {
  const members = [
    { id: 'x', topics: ['a', 'b'], joined: 1 },
    { id: 'y', topics: ['a'], joined: 2 },
  ]
  const partitions = [
    { topic: 'a', partition: 0, owner: undefined },
    { topic: 'b', partition: 0, owner: 'y' },
    { topic: 'c', partition: 0, owner: undefined },
  ]
  expect(assign(members, partitions)).toEqual([
    { topic: 'a', partition: 0, member: 'y' },
    { topic: 'b', partition: 0, member: 'x' },
  ])
})
