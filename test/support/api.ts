import { z } from 'zod'

/** Calls the HTTP API and checks the answer's shape. With a body it is a POST. */
export async function call<T>(url: string, answer: z.ZodType<T>, body?: unknown): Promise<T> {
  const post = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  const response = await fetch(url, body === undefined ? {} : post)
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`)
  return answer.parse(await response.json())
}

export const pipelineStatus = z.object({
  state: z.string(),
  reason: z.string().optional(),
  lag: z.number(),
  totals: z.object({ read: z.number(), written: z.number() }),
})

const counted = z.object({ rows: z.tuple([z.object({ n: z.coerce.number() })]) })
const collections = z.object({ collections: z.array(z.object({ name: z.string(), count: z.number() })) })
const events = z.object({
  events: z.array(
    z.object({ partition: z.number(), offset: z.number(), key: z.string().nullable(), value: z.unknown() }),
  ),
})
const topic = z.object({ partitions: z.array(z.object({ partition: z.number(), start: z.number(), end: z.number() })) })

export async function rowsIn(address: string, table: string): Promise<number> {
  const { rows } = await call(`${address}/v1/query`, counted, { sql: `SELECT count() AS n FROM ${table}` })
  return rows[0].n
}

export async function vectorsIn(address: string, collection: string): Promise<number> {
  const found = await call(`${address}/v1/collections`, collections)
  return found.collections.find(({ name }) => name === collection)?.count ?? 0
}

/** How many keys a topic holds whose newest event is no deletion. */
export async function keysIn(address: string, name: string): Promise<number> {
  const { partitions } = await call(`${address}/v1/topics/${name}`, topic)
  const alive = new Set<string | null>()
  for (const { partition, start, end } of partitions) {
    for (let offset = start; offset < end; ) {
      const query = `partition=${partition}&offset=${offset}&limit=1000`
      const page = await call(`${address}/v1/topics/${name}/events?${query}`, events)
      for (const event of page.events) {
        if (event.value === null) alive.delete(event.key)
        else alive.add(event.key)
        offset = event.offset + 1
      }
      if (page.events.length === 0) break
    }
  }
  return alive.size
}

/** Waits until everything that starts has started. */
export async function ready(address: string, timeoutMs = 60_000): Promise<void> {
  await until(async () => {
    const response = await fetch(`${address}/readyz`).catch(() => undefined)
    await response?.body?.cancel()
    return response?.ok === true
  }, timeoutMs)
}

/** Waits until the condition holds. */
export async function until(condition: () => Promise<boolean>, timeoutMs = 60_000): Promise<void> {
  const deadline = Date.now() + timeoutMs
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`did not come true within ${timeoutMs} ms: ${condition}`)
    await sleep(20)
  }
}

export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}
