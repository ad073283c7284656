import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Analytics, TableSpec } from '../../src/core/analytics.ts'
import type { AnalyticsStorage } from './analytics.ts'

/** Counts what a watch yields. */
export class Watcher {
  count = 0
  readonly ended: Promise<void>
  readonly #stop = new AbortController()
  #wake: () => void = () => undefined

  constructor(analytics: Analytics, ...tables: readonly string[]) {
    this.ended = this.#run(analytics.changes(tables, this.#stop.signal))
  }

  async #run(changes: AsyncIterable<void>): Promise<void> {
    for await (const _ of changes) {
      this.count += 1
      this.#wake()
    }
  }

  async reaches(count: number): Promise<void> {
    while (this.count < count) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.ended
  }
}

/** Whoever watches tables hears of each change, and of no other. */
export function changesContract(name: string, prepare: () => Promise<AnalyticsStorage>): void {
  describe(`${name} tells of changes`, () => {
    let storage: AnalyticsStorage
    let analytics: Analytics
    const columns = [{ name: 'n', type: 'Int64' }]
    const table = async (name: string, mode: TableSpec['mode'] = 'append') => {
      await analytics.ensureTable({ name, columns, mode, ...(mode === 'append' ? { partitionBy: 'n % 2' } : {}) })
      return name
    }

    beforeAll(async () => {
      storage = await prepare()
      analytics = await storage.open()
    })
    afterAll(async () => {
      await analytics.close()
      await storage.remove()
    })

    test('once when it watches, and after each insert into one of the tables', async () => {
      const [one, two] = [await table('watched'), await table('watched_too')]
      await analytics.insert(one, [{ n: 1 }], 'before')
      const watcher = new Watcher(analytics, one, two)
      await watcher.reaches(1)
      await analytics.insert(one, [{ n: 3 }], 'one')
      await watcher.reaches(2)
      await analytics.insert(two, [{ n: 2 }], 'two')
      await watcher.reaches(3)
      await analytics.insert(two, [{ n: 4 }], 'three')
      await watcher.reaches(4)
      await watcher.stop()
    })

    test('a change that comes while the one before is worked on is told afterwards', async () => {
      const name = await table('busy')
      const stop = new AbortController()
      const changes = analytics.changes([name], stop.signal)[Symbol.asyncIterator]()
      await changes.next()
      await analytics.insert(name, [{ n: 1 }], 'one')
      await analytics.insert(name, [{ n: 2 }], 'two')
      expect((await changes.next()).done).toBe(false)
      stop.abort()
      expect((await changes.next()).done).toBe(true)
    })

    test('another table is none of its business', async () => {
      const [mine, other] = [await table('mine'), await table('other', 'upsert')]
      const watcher = new Watcher(analytics, mine)
      const others = new Watcher(analytics, other)
      await Promise.all([watcher.reaches(1), others.reaches(1)])
      await analytics.insert(other, [{ _id: 'a', _version: 1, _deleted: 0, n: 1 }], 'one')
      await others.reaches(2)
      await analytics.insert(other, [{ _id: 'a', _version: 2, _deleted: 1, n: 1 }], 'two')
      await others.reaches(3)
      expect(watcher.count).toBe(1)
      await Promise.all([watcher.stop(), others.stop()])
    })

    test('a table that is made later is watched too', async () => {
      const watcher = new Watcher(analytics, 'later')
      await watcher.reaches(1)
      await analytics.insert(await table('later'), [{ n: 1 }], 'one')
      await watcher.reaches(2)
      await watcher.stop()
    })
  })
}
