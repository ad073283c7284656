import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { trial } from '../exactly-once/trial.ts'
import { startClickHouseServer } from '../services/clickhouse-server.ts'
import { startKafka } from '../services/kafka.ts'
import { canStart, findService } from '../services/services.ts'

const mayRun = await canStart('kafka')
const milvus = await findService('milvus')

describe.skipIf(!mayRun || milvus === undefined)('three processes of one group on twelve partitions', () => {
  let kafka: Awaited<ReturnType<typeof startKafka>>
  let clickhouse: Awaited<ReturnType<typeof startClickHouseServer>>

  // Servers of its own, for they are taken away.
  beforeAll(async () => {
    ;[kafka, clickhouse] = await Promise.all([startKafka(), startClickHouseServer()])
  })
  afterAll(async () => {
    await Promise.all([kafka?.[Symbol.asyncDispose](), clickhouse?.stop()])
  })

  const run = (journal: boolean) =>
    trial({
      events: 20_000,
      partitions: 12,
      processes: 3,
      durationMs: 45_000,
      journal,
      kafka,
      clickhouse,
      milvus: milvus ?? '',
      log: () => {},
    })

  it('deliver each event once through kills, zombies, rebalances and restarts of Kafka and ClickHouse', async () => {
    const { clickhouse: rows, vectors, troubles, outputs } = await run(true)
    expect(troubles).toMatchObject({ zombie: expect.any(Number), 'restart kafka': expect.any(Number) })
    const exact = { events: 20_000, missing: 0, doubled: 0 }
    expect({ rows, vectors }, outputs).toEqual({ rows: exact, vectors: exact })
  }, 300_000)

  it('double events without the journal, so the test above can fail', async () => {
    // A kill has to fall between an insert and its commit. Mostly one of the first dozen does.
    let doubled = 0
    for (let attempt = 0; attempt < 3 && doubled === 0; attempt++) {
      const { clickhouse: rows, vectors } = await run(false)
      expect(rows.missing).toBe(0)
      expect(vectors).toEqual({ events: 20_000, missing: 0, doubled: 0 })
      doubled = rows.doubled
    }
    expect(doubled).toBeGreaterThan(0)
  }, 600_000)
})
