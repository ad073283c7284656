import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { inOrder, type Member } from '../../src/core/presence.ts'
import type { Encoding } from '../../src/live/encoding.ts'
import { listedMembers, PresenceList } from '../../src/live/presence-list.ts'
import { member } from '../contracts/presence.ts'
import { MemberList } from './member-list.ts'

let encoded = 0
const encoding: Encoding = {
  name: 'websocket',
  events: () => new Uint8Array(),
  message: (message) => {
    encoded++
    return new TextEncoder().encode(JSON.stringify(message))
  },
}

function content(list: PresenceList, what: 'change' | 'whole', subscription = 's1') {
  return JSON.parse(new TextDecoder().decode(list.frame(what, encoding, subscription)))
}

const ids = (members: readonly { readonly id: string }[]) => members.map(({ id }) => id)

describe('a list of members', () => {
  test('is told whole at first, then as what has changed', () => {
    const list = new PresenceList(undefined)
    expect(list.update([member('a', 1), member('b', 2)])).toBe('whole')
    expect(content(list, 'whole')).toEqual({
      type: 'presence',
      subscription: 's1',
      members: [
        { id: 'a', user: 'user of a', state: { n: 1 }, since: 1 },
        { id: 'b', user: 'user of b', state: { n: 2 }, since: 2 },
      ],
    })
    expect(list.update([member('a', 1), member('b', 2)])).toBe('nothing')
    expect(list.update([member('a', 1), member('b', 2, { state: 'away' }), member('c', 3)])).toBe('change')
    expect(ids(content(list, 'change').joined)).toEqual(['b', 'c'])
    expect(content(list, 'change').left).toBeUndefined()
    expect(list.update([member('b', 2, { state: 'away' }), member('c', 3)])).toBe('change')
    expect(content(list, 'change')).toEqual({ type: 'presence', subscription: 's1', left: ['a'] })
    expect(list.update([])).toBe('whole')
    expect(content(list, 'whole').members).toEqual([])
  })

  test('with rows has only those who see the same', () => {
    const mine = [{ tenant: 'a' }]
    const list = new PresenceList(mine)
    const members = [
      member('same', 1, { rows: [{ tenant: 'a' }] }),
      member('other', 2, { rows: [{ tenant: 'b' }] }),
      member('all', 3),
    ]
    list.update(members)
    expect(ids(content(list, 'whole').members)).toEqual(['same'])
    expect(JSON.stringify(content(list, 'whole'))).not.toContain('tenant')
    expect(list.update([...members, member('another', 4, { rows: [{ tenant: 'b' }] })])).toBe('nothing')
    const everyone = new PresenceList(undefined)
    everyone.update(members)
    expect(ids(content(everyone, 'whole').members)).toEqual(['same', 'other', 'all'])
  })

  test('is bounded in members and bytes; who comes next moves up', () => {
    const list = new PresenceList(undefined)
    const crowd = Array.from({ length: listedMembers + 5 }, (_, n) => member(`m${n}`, n))
    list.update(crowd)
    expect(content(list, 'whole').members).toHaveLength(listedMembers)
    list.update(crowd.slice(1))
    expect(content(list, 'change')).toMatchObject({ joined: [{ id: `m${listedMembers}` }], left: ['m0'] })
    list.update(Array.from({ length: 500 }, (_, n) => member(`l${n}`, n, { state: 'x'.repeat(4_000) })))
    expect(content(list, 'whole').members.length).toBeGreaterThan(200)
    expect(list.frame('whole', encoding, 's1').length).toBeLessThan(1.1 * 2 ** 20)
  })

  test('is encoded once for all subscriptions of an id', () => {
    const list = new PresenceList(undefined)
    list.update([member('a', 1)])
    encoded = 0
    const first = list.frame('whole', encoding, 's1')
    expect(list.frame('whole', encoding, 's1')).toBe(first)
    list.frame('whole', encoding, 's2')
    list.frame('whole', { ...encoding }, 's1')
    expect(encoded).toBe(3)
  })

  test('whatever happens, who keeps what it is told has the list', () => {
    const step = fc.record({ id: fc.nat(6), there: fc.boolean(), state: fc.nat(2), missed: fc.boolean() })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const list = new PresenceList(undefined)
        const told = new MemberList()
        const there = new Map<string, Member>()
        let stale = false
        for (const [n, { id, there: is, state, missed }] of steps.entries()) {
          if (is) there.set(`${id}`, member(`${id}`, there.get(`${id}`)?.since ?? n, { state }))
          else there.delete(`${id}`)
          const what = list.update(inOrder(there.values()))
          if (what === 'nothing') continue
          // A client that is slow is sent the whole list later.
          if (missed) stale = true
          else {
            told.take(content(list, stale ? 'whole' : what))
            stale = false
          }
          if (!stale)
            expect(told.members).toEqual(
              inOrder(there.values()).map(({ id, user, state, since }) => ({ id, user, state, since })),
            )
        }
      }),
    )
  })
})
