import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'vitest'
import { z } from 'zod'
import { tempFolder } from '../../support/cli.ts'

/** A folder with the given files, by their path in it; removed at the end of its scope. */
export async function project(files: Readonly<Record<string, string>>) {
  const folder = await tempFolder()
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder.path, name)), { recursive: true })
    await writeFile(join(folder.path, name), text)
  }
  return folder
}

/** A pipeline that writes each event to ClickHouse and to the live channel of its own name, soon. */
export function plainPipeline(name: string, columns: Readonly<Record<string, string>>): string {
  return `
name: ${name}
source: { topic: ${name} }
sinks:
  - clickhouse: { table: ${name}, columns: ${JSON.stringify(columns)} }
  - live: ${name}
block: { age: 100ms }
`
}

/** A pipeline that embeds. */
export const texts = `
name: texts
source: { topic: texts }
processors:
  - embed: { text: value.text, as: meaning }
sinks:
  - vectors: { collection: texts, vector: meaning, fields: [category] }
`

const problem = z.object({
  title: z.string(),
  status: z.number(),
  code: z.string(),
  detail: z.string(),
  hint: z.string().optional(),
  errors: z.array(z.looseObject({ message: z.string() })).optional(),
})
const rows = z.object({ rows: z.array(z.record(z.string(), z.unknown())) })
const pipeline = z.object({ state: z.string(), reason: z.string().optional(), lag: z.number() })

type Body = string | Uint8Array | ReadableStream<Uint8Array>

export function post(url: string, body: Body, type = 'application/json', method = 'POST'): Promise<Response> {
  const stream = body instanceof ReadableStream ? { duplex: 'half' as const } : {}
  return fetch(url, { method, headers: { 'content-type': type }, body, ...stream })
}

/** The problem that a response is, after a look at what every problem has to be. */
export async function problemOf(response: Response): Promise<z.infer<typeof problem>> {
  const text = await response.text()
  expect(response.ok, text).toBe(false)
  expect(response.headers.get('content-type')).toBe('application/problem+json')
  expectNoTrace(text)
  const found = problem.parse(JSON.parse(text))
  expect(found.status).toBe(response.status)
  return found
}

/** One clear message: nobody has to read a stack, a source location or what JavaScript calls nothing. */
export function expectNoTrace(text: string): void {
  expect(text).not.toMatch(/^\s+at .+:\d+/m)
  expect(text).not.toMatch(/node:internal|\.js:\d+|\bundefined\b|\[object |node_modules|Unhandled/)
}

export async function publish(address: string, topic: string, ...events: readonly unknown[]): Promise<void> {
  const response = await post(`${address}/v1/topics/${topic}/events`, JSON.stringify(events))
  expect(response.status, await response.text()).toBe(200)
}

export async function query(address: string, sql: string) {
  const response = await post(`${address}/v1/query`, JSON.stringify({ sql }))
  const text = await response.text()
  expect(response.status, text).toBe(200)
  return rows.parse(JSON.parse(text)).rows
}

/** The values of a table's column, in order. */
export async function column(address: string, table: string, name: string): Promise<unknown[]> {
  const found = await query(address, `SELECT ${name} FROM ${table} ORDER BY ${name}`)
  return found.map((row) => row[name])
}

export async function pipelineStatus(address: string, name: string) {
  return pipeline.parse(await (await fetch(`${address}/v1/pipelines/${name}`)).json())
}

/** Waits until the check no longer throws; then its result. Its last error if that takes too long. */
export async function eventually<T>(check: () => Promise<T>, timeoutMs = 10_000): Promise<T> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    try {
      return await check()
    } catch (error) {
      if (Date.now() > deadline) throw error
      await delay(50)
    }
  }
}
