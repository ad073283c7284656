import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { z } from 'zod'
import { call, rowsIn, until, vectorsIn } from '../support/api.ts'
import { type RunningCli, startCli, tempFolder } from '../support/cli.ts'

const pipeline = `
name: tickets
source: { topic: tickets }
processors:
  - embed: { text: value.subject, as: meaning }
  - cluster: { vector: meaning, text: value.subject, as: topic, nameAs: topicName, sizeAs: topicSize }
  - similar: { collection: tickets, vector: meaning, minScore: 0.4, where: { customer: value.customer }, fields: [subject] }
sinks:
  - vectors: { collection: tickets, vector: meaning, fields: [subject, customer, topic] }
  - clickhouse:
      table: tickets
      columns:
        subject: String
        topic: LowCardinality(String)
        topicSize: UInt32
        found: { type: Array(String), from: 'value.similar.map(s, s.fields.subject)' }
        similar: String
      orderBy: [topic]
block: { age: 50ms }
`
const row = z.object({
  subject: z.string(),
  topic: z.string(),
  topicSize: z.coerce.number(),
  found: z.array(z.string()),
  similar: z.string(),
})
const rows = z.object({ rows: z.array(row) })

async function publish({ address }: RunningCli, subject: string, customer: string): Promise<z.infer<typeof row>> {
  const before = await vectorsIn(address, 'tickets')
  await call(`${address}/v1/topics/tickets/events`, z.unknown(), { subject, customer })
  const isStored = async () => (await vectorsIn(address, 'tickets')) > before
  await until(isStored)
  await until(async () => (await rowsIn(address, 'tickets')) > before)
  const sql = 'SELECT * FROM tickets WHERE subject = {subject:String}'
  const [stored] = (await call(`${address}/v1/query`, rows, { sql, params: { subject } })).rows
  if (stored === undefined) throw new Error(`there is no row of "${subject}"`)
  return stored
}

it('earlier tickets are found by later ones, and topics stay what they are through a kill', async () => {
  await using folder = await tempFolder()
  await mkdir(join(folder.path, 'pipelines'))
  await writeFile(join(folder.path, 'pipelines/tickets.yaml'), pipeline)
  {
    await using millrace = await startCli(['run'], { cwd: folder.path })
    const first = await publish(millrace, 'I was charged twice this month', 'c1')
    expect(first).toMatchObject({ topic: 'tickets/0/0', topicSize: 1, found: [], similar: '[]' })
    const other = await publish(millrace, 'The site is down', 'c1')
    expect(other).toMatchObject({ topic: 'tickets/0/1', topicSize: 1, found: [] })
    millrace.kill('SIGKILL')
    await millrace.exited
  }
  await using millrace = await startCli(['run'], { cwd: folder.path })
  const later = await publish(millrace, 'Charged two times', 'c1')
  expect(later).toMatchObject({ topic: 'tickets/0/0', topicSize: 2, found: ['I was charged twice this month'] })
  expect(JSON.parse(later.similar)).toEqual([
    {
      id: 'tickets/0/0',
      score: expect.any(Number),
      timestamp: expect.any(Number),
      fields: { subject: 'I was charged twice this month' },
    },
  ])
  const stranger = await publish(millrace, 'My card was charged two times', 'c2')
  expect(stranger).toMatchObject({ topic: 'tickets/0/0', topicSize: 3, found: [] })
}, 90_000)
