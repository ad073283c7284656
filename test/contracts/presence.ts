import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Member, Presence } from '../../src/core/presence.ts'

export interface PresenceStorage {
  /** Opens presence on the same storage each time: several at once stand for several processes. */
  open(): Promise<Presence>
  remove(): Promise<void>
}

export interface PresenceContractOptions {
  /** How many random histories to compare with the model. */
  readonly runs?: number
  /** How many processes may share a storage. */
  readonly processes?: number
  /** The most members of a channel that `prepare` allows. */
  readonly members: number
}

const patienceMs = 20_000

/** What presence must hold to, whatever keeps it. `prepare` gives an empty one each time. */
export function presenceContract(
  name: string,
  prepare: () => Promise<PresenceStorage>,
  { runs = 20, processes = 1, members: limit }: PresenceContractOptions,
): void {
  describe(`${name} keeps presence`, () => {
    let storage: PresenceStorage
    let all: Presence[]
    let first: Presence
    /** Another process, where there are several. */
    let other: Presence

    beforeEach(async () => {
      storage = await prepare()
      all = await Promise.all(Array.from({ length: processes }, () => storage.open()))
      first = firstOf(all)
      other = all.at(-1) ?? first
    })
    afterEach(async () => {
      for (const presence of all) await presence.close()
      await storage.remove()
    })

    test('a member is there, whole, until it leaves', async () => {
      const one = member('one', 1, { state: { deep: [1, 'ü', null] }, rows: [{ tenant: 'a', 'customer.id': 7 }] })
      const two = member('two', 2, { state: null })
      await first.join('c', two)
      await other.join('c', one)
      for (const presence of all) {
        expect(await presence.members('c')).toEqual([one, two])
        expect(await presence.size('c')).toBe(2)
      }
      expect(await first.members('elsewhere')).toEqual([])
      await other.leave('c', 'one')
      expect(await first.members('c')).toEqual([two])
      await first.leave('c', 'two')
      await first.leave('c', 'two')
      await first.leave('nowhere', 'two')
      expect(await other.members('c')).toEqual([])
      expect(await other.size('c')).toBe(0)
    })

    test('the same id again replaces the member', async () => {
      await first.join('c', member('one', 1))
      await first.join('c', member('two', 2))
      await first.join('c', member('one', 1, { state: 'busy' }))
      expect(await other.members('c')).toEqual([member('one', 1, { state: 'busy' }), member('two', 2)])
      expect(await other.size('c')).toBe(2)
    })

    test('a watcher is told at once who is there, and of every change after it', async () => {
      const empty = watch(other, 'c')
      await until(() => empty.lists.length === 1)
      expect(empty.lists[0]).toEqual([])
      await first.join('c', member('one', 1))
      await until(() => empty.ids() === 'one')
      const late = watch(other, 'c')
      await until(() => late.lists.length === 1)
      expect(late.ids()).toBe('one')
      await first.join('c', member('one', 1, { state: 'away' }))
      await until(() => late.last()[0]?.state === 'away' && empty.last()[0]?.state === 'away')
      await first.leave('c', 'one')
      await until(() => late.ids() === '' && empty.ids() === '')
      empty.stop.abort()
      late.stop.abort()
      await Promise.all([empty.ended, late.ended])
    })

    test('a watcher that looks elsewhere for a while gets the latest list, not each', async () => {
      const stop = new AbortController()
      const lists = other.watch('c', stop.signal)[Symbol.asyncIterator]()
      expect((await lists.next()).value).toEqual([])
      for (let n = 0; n < 50; n++) await first.join('c', member(`m${n}`, n))
      // What is told of an earlier moment may come in between.
      for (let told = 0; ; told++) {
        expect(told).toBeLessThan(5)
        const { value } = await lists.next()
        if (value?.length === 50) break
      }
      stop.abort()
      expect((await lists.next()).done).toBe(true)
    })

    test('closing ends watchers, and takes the members of this process away', async () => {
      const watched = watch(first, 'c')
      await first.join('c', member('one', 1))
      await until(() => watched.ids() === 'one')
      await first.close()
      await watched.ended
      const next = await storage.open()
      all.push(next)
      expect(await next.members('c')).toEqual([])
    })

    test('a channel that is full takes no more, but changes of those who are there', async () => {
      await Promise.all(Array.from({ length: limit }, (_, n) => first.join('c', member(`m${n}`, n))))
      await expect(other.join('c', member('late', limit))).rejects.toMatchObject({ code: 'presence_full' })
      await first.join('c', member('m0', 0, { state: 'still here' }))
      expect(await other.size('c')).toBe(limit)
      expect((await other.members('c'))[0]?.state).toBe('still here')
      await first.leave('c', 'm1')
      await other.join('c', member('late', limit))
      const ids = (await first.members('c')).map(({ id }) => id)
      expect(ids).toHaveLength(limit)
      expect(ids.at(-1)).toBe('late')
    })

    test('subscriptions are counted over all processes', async () => {
      first.count('c', 3)
      first.count('d', 1)
      if (other !== first) other.count('c', 2)
      const expected = other === first ? 3 : 5
      await expect.poll(() => other.subscriptions('c'), { timeout: 10_000 }).toBe(expected)
      await expect.poll(() => first.subscriptions('d'), { timeout: 10_000 }).toBe(1)
      first.count('c', 0)
      await expect.poll(() => other.subscriptions('c'), { timeout: 10_000 }).toBe(expected - 3)
      expect(await other.subscriptions('unknown')).toBe(0)
    })

    test('after any history of joins, changes and leaves there is who the model says, for those who ask and who watch', async () => {
      const history = fc.array(
        fc.record({
          process: fc.nat(processes - 1),
          id: fc.nat(5),
          does: fc.constantFrom('join', 'join', 'change', 'leave'),
          /** Whether the next step waits for this one. */
          waits: fc.boolean(),
        }),
        { maxLength: 40 },
      )
      let run = 0
      await fc.assert(
        fc.asyncProperty(history, async (steps) => {
          const channel = `c${run++}`
          const watched = all.map((presence) => watch(presence, channel))
          const model = new Map<string, Member>()
          const going: Promise<void>[] = []
          for (const [step, { process, id: number, does, waits }] of steps.entries()) {
            const presence = all[process] ?? first
            const id = `${process}-${number}`
            const known = model.get(id)
            if (does === 'leave') {
              going.push(presence.leave(channel, id))
              model.delete(id)
            } else {
              const changed = member(id, known?.since ?? step, { state: step })
              going.push(presence.join(channel, changed))
              model.set(id, changed)
            }
            if (waits) await going.at(-1)
          }
          await Promise.all(going)
          const expected = JSON.stringify(
            [...model.values()].sort((a, b) => a.since - b.since || (a.id < b.id ? -1 : 1)),
          )
          for (const presence of all) {
            expect(JSON.stringify(await presence.members(channel))).toBe(expected)
            expect(await presence.size(channel)).toBe(model.size)
          }
          for (const { last, stop, ended } of watched) {
            await until(() => JSON.stringify(last()) === expected)
            stop.abort()
            await ended
          }
        }),
        { numRuns: runs },
      )
    })
  })
}

export function member(id: string, since: number, changes: Partial<Member> = {}): Member {
  return { id, user: `user of ${id}`, state: { n: since }, since, ...changes }
}

export interface Watched {
  readonly lists: (readonly Member[])[]
  readonly stop: AbortController
  readonly ended: Promise<void>
  last(): readonly Member[]
  /** Of the latest list. */
  ids(): string
}

export function watch(presence: Presence, channel: string): Watched {
  const lists: (readonly Member[])[] = []
  const stop = new AbortController()
  const collect = async () => {
    for await (const list of presence.watch(channel, stop.signal)) lists.push(list)
  }
  const last = () => lists.at(-1) ?? []
  return {
    lists,
    stop,
    ended: collect(),
    last,
    ids: () =>
      lists.length === 0
        ? '-'
        : last()
            .map(({ id }) => id)
            .join(' '),
  }
}

export async function until(holds: () => boolean): Promise<void> {
  for (const end = Date.now() + patienceMs; !holds(); ) {
    if (Date.now() > end) throw new Error('waited in vain')
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

function firstOf(all: readonly Presence[]): Presence {
  const [first] = all
  if (!first) throw new Error('nothing was opened')
  return first
}
