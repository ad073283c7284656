import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { openCluster } from '../../../connectors/kafka/cluster.ts'
import { KafkaStateStore } from '../../../connectors/kafka/state-store.ts'
import { TopicAdmin } from '../../../connectors/kafka/topic-admin.ts'
import { TopicMetadata } from '../../../connectors/kafka/topic-metadata.ts'
import { openWriterParts } from '../../../connectors/kafka/writer-parts.ts'
import { Fenced } from '../../../src/core/errors.ts'
import type { StateScope } from '../../../src/core/state.ts'
import { entries } from '../../contracts/event-log-member.ts'
import { findService } from '../../services/services.ts'
import { settingsOf } from './settings.ts'

const brokers = await findService('kafka')

type Step =
  | { readonly do: 'prepare'; readonly ahead: number; readonly changes: readonly (readonly [string, number | null])[] }
  | { readonly do: 'commit' }
  | { readonly do: 'take over' }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('prepare' as const),
      ahead: fc.nat(2),
      changes: fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.option(fc.nat(9))), { minLength: 1, maxLength: 3 }),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ do: 'commit' as const }) },
  { weight: 2, arbitrary: fc.constant({ do: 'take over' as const }) },
)

describe.skipIf(brokers === undefined)('the state of a lane on Kafka', { timeout: 120_000 }, async () => {
  const settings = settingsOf(brokers ?? '127.0.0.1:1')
  const warn = () => undefined
  const control = await openCluster(settings, 'control')
  const admin = new TopicAdmin({ control, topics: new TopicMetadata(control), settings })
  const parts = [await openWriterParts(settings, admin, warn), await openWriterParts(settings, admin, warn)] as const
  const [store, other] = [new KafkaStateStore(async () => parts[0]), new KafkaStateStore(async () => parts[1])]
  afterAll(async () => {
    await Promise.all([control, ...parts.map(({ cluster }) => cluster)].map((cluster) => cluster.disconnect()))
  })

  test('counts what was prepared once it is committed, and is put back to what was committed otherwise', async () => {
    const scope = `s-${randomUUID()}`
    const first = await store.takeOver(scope, 0)
    await first.prepare(5, [
      { key: 'a', value: 1 },
      { key: 'gone', value: 'x' },
    ])
    await first.prepare(8, [
      { key: 'a', value: 2 },
      { key: 'gone', value: undefined },
      { key: 'new', value: true },
    ])
    // The commit of 8 did not come about.
    const second = await other.takeOver(scope, 5)
    expect(await entries(second)).toEqual({ a: 1, gone: 'x' })
    await second.prepare(8, [{ key: 'b', value: { deep: [1] } }])
    // What the first prepared for 8 must not come up again.
    expect(await entries(await store.takeOver(scope, 8))).toEqual({ a: 1, gone: 'x', b: { deep: [1] } })
  })

  test('is written by its newest owner alone', async () => {
    const scope = `s-${randomUUID()}`
    const first = await store.takeOver(scope, 0)
    await first.prepare(1, [{ key: 'a', value: 1 }])
    const second = await other.takeOver(scope, 1)
    await expect(first.prepare(2, [{ key: 'a', value: 2 }])).rejects.toBeInstanceOf(Fenced)
    await expect(first.prepare(3, [{ key: 'a', value: 3 }])).rejects.toBeInstanceOf(Fenced)
    await first.prepare(4, [])
    await second.prepare(2, [{ key: 'b', value: 1 }])
    expect(await entries(await store.takeOver(scope, 2))).toEqual({ a: 1, b: 1 })
  })

  test('of many keys and large values is there whole', async () => {
    const scope = `s-${randomUUID()}`
    const first = await store.takeOver(scope, 0)
    const changes = Array.from({ length: 2000 }, (_, index) => ({ key: `key ${index}`, value: 'v'.repeat(1000) }))
    await first.prepare(1, changes)
    const second = await other.takeOver(scope, 1)
    expect(await second.get(['key 0', 'key 1999', 'key 2000'])).toEqual(['v'.repeat(1000), 'v'.repeat(1000), undefined])
    expect(Object.keys(await entries(second, 'key 199'))).toHaveLength(11)
  })

  test('any history is that of the model', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 15 }), async (steps) => {
        const scope = `s-${randomUUID()}`
        let [turn, committed, from] = [0, 0, 0]
        let [stored, prepared] = [new Map<string, number>(), new Map<string, number>()]
        const takeOver = (): Promise<StateScope> =>
          [store, other][turn++ % 2]?.takeOver(scope, committed) ?? store.takeOver(scope, committed)
        let owner = await takeOver()
        for (const each of steps) {
          if (each.do === 'prepare') {
            // A later position means that the one before is committed.
            if (each.ahead > 0) [stored, committed] = [new Map(prepared), from]
            from += each.ahead
            await owner.prepare(
              from,
              each.changes.map(([key, value]) => ({ key, value: value ?? undefined })),
            )
            for (const [key, value] of each.changes) {
              if (value === null) prepared.delete(key)
              else prepared.set(key, value)
            }
            // At a position that is committed already it counts at once.
            if (from === committed) stored = new Map(prepared)
          } else if (each.do === 'commit') [stored, committed] = [new Map(prepared), from]
          else {
            owner = await takeOver()
            ;[prepared, from] = [new Map(stored), committed]
          }
          expect(await entries(owner)).toEqual(Object.fromEntries([...prepared].sort()))
        }
        expect(await entries(await takeOver())).toEqual(Object.fromEntries([...stored].sort()))
      }),
      { numRuns: 12 },
    )
  })
})
