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
    const { clickhouse: rows, vectors } = await run(false)
    expect(rows.doubled).toBeGreaterThan(0)
    expect({ missing: rows.missing, vectors }).toEqual({
      missing: 0,
      vectors: { events: 20_000, missing: 0, doubled: 0 },
    })
  }, 300_000)
})
