import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { type KafkaServer, startKafka } from '../services/kafka.ts'
import { canStart } from '../services/services.ts'
import { call, pipelineStatus, sleep, until } from '../support/api.ts'
import { startCli, tempFolder } from '../support/cli.ts'

const hasKafka = await canStart('kafka')
const pipelines = ['direct', 'copied'] as const
const files = `
{ name: direct, source: { topic: orders }, sinks: [clickhouse: { table: direct, columns: { id: UInt64 } }, topic: copies] }
---
{ name: copied, source: { topic: copies }, sinks: [clickhouse: { table: copied, columns: { id: UInt64 } }] }
`
/** An append is tried again for half a minute, so a request has its answer by then. */
const longestRequestMs = 60_000
const readiness = z.object({ ready: z.boolean(), reasons: z.array(z.string()) })
const refusal = z.object({ code: z.string() })
const idsIn = z.object({ rows: z.array(z.object({ id: z.coerce.number() })) })

const outages: readonly Outage[] = [
  { what: 'crashes and is started again', begin: (kafka) => kafka.kill(), end: (kafka) => kafka.restart() },
  { what: 'sleeps and wakes up', begin: async (kafka) => kafka.pause(), end: async (kafka) => kafka.resume() },
]

interface Outage {
  readonly what: string
  readonly begin: (kafka: KafkaServer) => Promise<void>
  readonly end: (kafka: KafkaServer) => Promise<void>
}

describe.skipIf(!hasKafka).each(outages)('when Kafka $what', ({ begin, end }) => {
  it('publishing is refused and pipelines wait; then all goes on, and what was acknowledged is there once', async () => {
    await using kafka = await startKafka()
    await using folder = await tempFolder()
    await mkdir(join(folder.path, 'pipelines'))
    for (const [index, file] of files.split('---').entries()) {
      await writeFile(join(folder.path, `pipelines/${pipelines[index]}.yaml`), file)
    }
    await using server = await startCli(['run'], { cwd: folder.path, env: { KAFKA_BROKERS: kafka.brokers } })
    const status = (name: string) => call(`${server.address}/v1/pipelines/${name}`, pipelineStatus)
    const reasons = async () => (await call(`${server.address}/readyz`, readiness)).reasons
    await using publisher = publishPatiently(server.address)

    await until(async () => (await status('copied')).totals.written > 300)
    await begin(kafka)
    for (const name of pipelines) {
      await until(async () => (await status(name)).state === 'degraded', longestRequestMs)
      expect((await status(name)).reason).toContain('Kafka')
      expect(await reasons()).toContainEqual(
        expect.stringMatching(new RegExp(`^pipeline ${name} is degraded: .*Kafka`)),
      )
    }
    const metrics = await fetch(`${server.address}/metrics`, { signal: AbortSignal.timeout(longestRequestMs) })
    expect(await metrics.text()).toContain('millrace_pipeline_state{pipeline="direct",state="degraded"} 1')
    await until(async () => publisher.refused.length > 0, 2 * longestRequestMs)

    await end(kafka)
    const before = publisher.accepted.length
    await until(async () => publisher.accepted.length > before + 300)
    for (const name of pipelines) await until(async () => (await status(name)).state === 'running')
    await publisher.stop()
    for (const name of pipelines) await until(async () => (await status(name)).lag === 0)

    expect(new Set(publisher.refused)).toEqual(new Set(['503 log_unavailable']))
    for (const table of pipelines) {
      const { rows } = await call(`${server.address}/v1/query`, idsIn, { sql: `SELECT id FROM ${table} ORDER BY id` })
      const ids = new Set(rows.map(({ id }) => id))
      // What was not acknowledged may have been stored before the crash, but was sent once.
      expect(ids.size).toBe(rows.length)
      expect(publisher.accepted.filter((id) => !ids.has(id))).toEqual([])
    }
    expect(await reasons()).toEqual([])
  }, 300_000)
})

/** Publishes side by side until it is stopped. What is refused is not sent again. */
function publishPatiently(address: string) {
  const over = new AbortController()
  const accepted: number[] = []
  const refused: string[] = []
  let next = 0
  const publish = async () => {
    while (!over.signal.aborted) {
      const ids = Array.from({ length: 5 }, () => next++)
      const response = await fetch(`${address}/v1/topics/orders/events`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(ids.map((id) => ({ id }))),
        signal: AbortSignal.timeout(longestRequestMs),
      })
      const answer: unknown = await response.json()
      if (response.ok) accepted.push(...ids)
      else refused.push(`${response.status} ${refusal.parse(answer).code}`)
      await sleep(20)
    }
  }
  const publishing = Promise.all([publish(), publish(), publish()])
  publishing.catch(() => undefined)
  const stop = async () => {
    over.abort()
    await publishing
  }
  return { accepted, refused, stop, [Symbol.asyncDispose]: () => stop().catch(() => undefined) }
}
