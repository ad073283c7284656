import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Fenced } from '../../src/core/errors.ts'
import type { Json } from '../../src/core/event.ts'
import type { StateChange, StateReader, StateScope, StateStore } from '../../src/core/state.ts'

export interface StateStoreStorage {
  /** Another process's store on the same storage. */
  open(): Promise<StateStore>
  remove(): Promise<void>
}

export interface StateStoreContractOptions {
  /** How many random histories to compare with the model. */
  readonly runs?: number
}

/**
 * What every store of state must hold to. `prepare` gives empty storage each time.
 *
 * An owner prepares for ascending positions, and for a later one only after the one before is committed; for the same
 * one as often as it likes, which is what a commit does that is tried again.
 */
export function stateStoreContract(
  name: string,
  prepare: () => Promise<StateStoreStorage>,
  { runs = 40 }: StateStoreContractOptions = {},
): void {
  describe(`${name} is a store of state`, () => {
    let storage: StateStoreStorage
    let store: StateStore

    beforeEach(async () => {
      storage = await prepare()
      store = await storage.open()
    })
    afterEach(async () => {
      await store.close()
      await storage.remove()
    })

    const put = (entries: Readonly<Record<string, Json>>): StateChange[] =>
      Object.entries(entries).map(([key, value]) => ({ key, value }))

    test('values come back whole, in the order asked for, and the same from another process', async () => {
      const entries = { a: { deep: [1, 'ü', null] }, b: null, c: '', d: 0.1, [`long ${'x'.repeat(3_000)}`]: false }
      const scope = await store.takeOver('s', 0)
      await scope.prepare(1, put(entries))
      const keys = ['none', ...Object.keys(entries).toReversed(), 'a']
      const values = [undefined, ...Object.values(entries).toReversed(), entries.a]
      expect(await scope.get(keys)).toEqual(values)
      expect(await scope.get([])).toEqual([])
      const other = await storage.open()
      expect(await (await other.takeOver('s', 1)).get(keys)).toEqual(values)
      await other.close()
    })

    test('a scan gives the keys with a prefix, in order', async () => {
      const scope = await store.takeOver('s', 0)
      const keys = ['b', 'a/2', 'a/10', 'a*1', 'a/', 'é', 'a/\u0000', 'A', 'a[/]1']
      await scope.prepare(1, [...put(Object.fromEntries(keys.map((key) => [key, key]))), ...put({ 'a/3': 3 })])
      await scope.prepare(2, [{ key: 'a/3', value: undefined }])
      const found = async (prefix: string) => (await scanned(scope, prefix)).map(([key]) => key)
      expect(await found('a/')).toEqual(['a/', 'a/\u0000', 'a/10', 'a/2'])
      expect(await found('a*')).toEqual(['a*1'])
      expect(await found('a[')).toEqual(['a[/]1'])
      expect(await found('')).toEqual([...keys].sort())
      expect(await scanned(scope, 'b')).toEqual([['b', 'b']])
    })

    test('a scan walks through many keys', async () => {
      const scope = await store.takeOver('s', 0)
      const keys = Array.from({ length: 3_500 }, (_, index) => String(index).padStart(5, '0'))
      await scope.prepare(1, put(Object.fromEntries(keys.map((key) => [`k${key}`, key]))))
      await scope.prepare(2, put({ other: 1 }))
      expect((await scanned(scope, 'k')).map(([, value]) => value)).toEqual(keys)
      expect(await scope.get(keys.map((key) => `k${key}`))).toEqual(keys)
    })

    test('scopes do not see each other', async () => {
      const one = await store.takeOver('p/t/0', 0)
      const two = await store.takeOver('p/t/1', 0)
      const odd = await store.takeOver('p/{t}/*', 0)
      await one.prepare(1, put({ a: 1 }))
      await two.prepare(1, put({ b: 2 }))
      await odd.prepare(1, put({ c: 3 }))
      expect(await scanned(one, '')).toEqual([['a', 1]])
      expect(await scanned(two, '')).toEqual([['b', 2]])
      expect(await scanned(odd, '')).toEqual([['c', 3]])
    })

    test('what was prepared but not committed is as if it had not been, for whoever comes next', async () => {
      const before = await store.takeOver('s', 0)
      await before.prepare(10, put({ kept: 1, changed: 1, deleted: 1 }))
      await before.prepare(20, [...put({ changed: 2, added: 2 }), { key: 'deleted', value: undefined }])
      const after = await store.takeOver('s', 10)
      expect(await scanned(after, '')).toEqual([
        ['changed', 1],
        ['deleted', 1],
        ['kept', 1],
      ])
      // Undone for good: a later commit of the same position is another one.
      await after.prepare(15, put({ other: 3 }))
      const last = await store.takeOver('s', 30)
      expect(await scanned(last, '')).toEqual([
        ['changed', 1],
        ['deleted', 1],
        ['kept', 1],
        ['other', 3],
      ])
    })

    test('what was prepared for the committed position or an earlier one counts', async () => {
      const before = await store.takeOver('s', 0)
      await before.prepare(10, put({ a: 1, b: 1 }))
      await before.prepare(20, [{ key: 'b', value: undefined }, ...put({ c: 2 })])
      const after = await store.takeOver('s', 25)
      expect(await scanned(after, '')).toEqual([
        ['a', 1],
        ['c', 2],
      ])
    })

    test('preparing the same position again keeps what stood there before', async () => {
      const before = await store.takeOver('s', 0)
      await before.prepare(10, put({ a: 1 }))
      await before.prepare(20, put({ a: 2 }))
      await before.prepare(20, put({ a: 3, b: 3 }))
      await before.prepare(20, [])
      expect(await before.get(['a', 'b'])).toEqual([3, 3])
      expect(await scanned(await store.takeOver('s', 10), '')).toEqual([['a', 1]])
    })

    test('a key that is changed twice in one prepare has its last value, and its first when undone', async () => {
      const before = await store.takeOver('s', 0)
      await before.prepare(1, put({ a: 1 }))
      await before.prepare(2, [
        { key: 'a', value: 2 },
        { key: 'a', value: undefined },
        { key: 'a', value: 3 },
      ])
      expect(await before.get(['a'])).toEqual([3])
      expect(await (await store.takeOver('s', 1)).get(['a'])).toEqual([1])
    })

    test('whoever had the scope before can prepare nothing more', async () => {
      const other = await storage.open()
      const zombie = await other.takeOver('s', 0)
      await zombie.prepare(10, put({ a: 1 }))
      const owner = await store.takeOver('s', 10)
      await expect(zombie.prepare(20, put({ a: 'late' }))).rejects.toBeInstanceOf(Fenced)
      await expect(zombie.prepare(10, put({ a: 'late' }))).rejects.toBeInstanceOf(Fenced)
      await zombie.prepare(20, [])
      expect(await owner.get(['a'])).toEqual([1])
      await owner.prepare(20, put({ a: 2 }))
      expect(await owner.get(['a'])).toEqual([2])
      await other.close()
    })

    test('any history of prepares, commits, crashes and zombies is that of the model', async () => {
      const changes = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd'), fc.option(fc.nat(9), { nil: undefined }), {
        noNullPrototype: true,
      })
      const step = fc.oneof(
        /** A commit that may be tried several times, by an owner that may crash before it, or between its parts. */
        fc.record({
          kind: fc.constant('commit' as const),
          ahead: fc.integer({ min: 1, max: 3 }),
          changes,
          tries: fc.integer({ min: 1, max: 2 }),
          crash: fc.constantFrom('never', 'never', 'prepared', 'committed' as const),
        }),
        fc.record({ kind: fc.constant('take over' as const), elsewhere: fc.boolean() }),
        fc.record({
          kind: fc.constant('zombie' as const),
          which: fc.nat(3),
          ahead: fc.integer({ min: -2, max: 3 }),
          changes,
        }),
      )
      let run = 0
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
          const name = `s${run++}`
          const stores = [store, await storage.open()]
          let turn = 0
          let committed = 0
          let model = new Map<string, Json>()
          const zombies: StateScope[] = []
          const next = () => (stores[turn++ % 2] ?? store).takeOver(name, committed)
          let owner = await next()
          const replace = async () => {
            zombies.unshift(owner)
            owner = await next()
            expect(await scanned(owner, '')).toEqual([...model].sort())
          }
          for (const step of steps) {
            if (step.kind === 'take over') {
              if (step.elsewhere) turn++
              await replace()
            } else if (step.kind === 'zombie') {
              const late = listed(step.changes)
              const zombie = zombies[step.which]
              if (zombie && late.length > 0) {
                await expect(zombie.prepare(committed + step.ahead, late)).rejects.toBeInstanceOf(Fenced)
              }
            } else {
              const from = committed + step.ahead
              for (let n = 0; n < step.tries; n++) await owner.prepare(from, listed(step.changes))
              if (step.crash !== 'prepared') {
                committed = from
                model = new Map(model)
                for (const { key, value } of listed(step.changes)) {
                  if (value === undefined) model.delete(key)
                  else model.set(key, value)
                }
                expect(await owner.get(['a', 'b', 'c', 'd'])).toEqual(['a', 'b', 'c', 'd'].map((key) => model.get(key)))
              }
              if (step.crash !== 'never') await replace()
            }
          }
          expect(await scanned(owner, '')).toEqual([...model].sort())
          await stores[1]?.close()
        }),
        { numRuns: runs },
      )
    })
  })
}

function listed(changes: Readonly<Record<string, Json | undefined>>): StateChange[] {
  return Object.entries(changes).map(([key, value]) => ({ key, value }))
}

async function scanned(reader: StateReader, prefix: string): Promise<(readonly [string, Json])[]> {
  const found: (readonly [string, Json])[] = []
  for await (const entry of reader.scan(prefix)) found.push(entry)
  return found
}
