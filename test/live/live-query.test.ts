import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { InvalidInput, Retryable } from '../../src/core/errors.ts'
import type { JsonObject } from '../../src/core/event.ts'
import type { NamedQuery } from '../../src/core/named-query.ts'
import { type Principal, unrestricted } from '../../src/core/principal.ts'
import { jsonEncoding } from '../../src/live/encoding.ts'
import type { Flow } from '../../src/live/flow.ts'
import { LiveQueries, type SubscribedQuery } from '../../src/live/live-queries.ts'
import type { LiveQueryLimits } from '../../src/live/live-query.ts'
import { type QueryConnection, QueryFlow } from '../../src/live/live-query-flow.ts'
import { QueryVersion } from '../../src/live/live-query-version.ts'
import type { QueryOptions, QueryRow, ServerMessage } from '../../src/live/protocol.ts'
import type { Ending } from '../../src/live/subscription.ts'
import { Queries } from '../../src/queries/index.ts'
import { ScriptedAnalytics } from './scripted-analytics.ts'

const limits: LiveQueryLimits = { queries: 3, queryRows: 100, queryBytes: 10_000, queryPauseMs: 5 }
const counts: NamedQuery = {
  name: 'counts',
  sql: 'SELECT n FROM t ORDER BY n',
  params: { least: { type: 'UInt8', default: 0 } },
  tables: ['t'],
}
const me = unrestricted('me')
const open: LiveQueries[] = []
afterEach(async () => {
  for (const queries of open.splice(0)) await queries.close()
})

function world(query: Partial<NamedQuery> = {}, some: Partial<LiveQueryLimits> = {}) {
  const analytics = new ScriptedAnalytics()
  const known = new Queries([{ ...counts, ...query }], async () => analytics)
  const warn = vi.fn()
  const live = new LiveQueries(known, { ...limits, ...some }, { warn, error: warn })
  open.push(live)
  return { analytics, live, warn }
}

/** A client that keeps the rows as the protocol says, and takes what is sent only when it is asked to. */
class Client implements QueryConnection {
  readonly encoding = jsonEncoding
  readonly messages: ServerMessage[] = []
  readonly frames: Uint8Array[] = []
  rows: readonly QueryRow[] | undefined
  version: number | undefined
  ending: Ending | undefined
  subscribed: SubscribedQuery | undefined
  /** Takes everything at once. */
  fast = true
  #wake: () => void = () => undefined

  async subscribe(live: LiveQueries, options: QueryOptions = {}, principal: Principal = me): Promise<this> {
    this.subscribed = await live.subscribe('s1', { query: 'counts', ...options }, principal, this)
    if (this.fast) this.take()
    return this
  }

  get flow(): Flow {
    if (!this.subscribed) throw new Error('not subscribed')
    return this.subscribed.flow
  }

  take(): void {
    while (this.flow.sendSome());
  }

  wake(): void {
    if (this.fast && this.subscribed) this.take()
    this.#wake()
  }

  ended(_flow: Pick<Flow, 'id'>, ending: Ending): void {
    this.ending = ending
    this.#wake()
  }

  send(frame: Uint8Array): void {
    this.frames.push(frame)
    const message: ServerMessage = JSON.parse(new TextDecoder().decode(frame))
    this.messages.push(message)
    if (message.type === 'rows') {
      this.rows = message.rows
      this.version = message.version
    } else if (message.type === 'changes') {
      expect(message.version).toBe((this.version ?? Number.NaN) + 1)
      const rows = [...(this.rows ?? [])].slice(0, message.length)
      for (const [index, row] of message.rows) rows[index] = row
      expect(rows).toHaveLength(message.length)
      this.rows = rows
      this.version = message.version
    }
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  release(): void {
    this.subscribed?.release()
    this.subscribed = undefined
  }
}

const row = (n: number, text = 'x'): JsonObject => ({ n, text })

describe('what is sent', () => {
  const rowsOf = fc.array(fc.record({ n: fc.nat(3), text: fc.constantFrom('a', 'b', 'long'.repeat(20)) }), {
    maxLength: 8,
  })
  const step = fc.oneof(
    rowsOf.map((rows) => ({ rows })),
    fc.nat(3).map((taker) => ({ taker })),
    fc.nat(3).map((reconnecting) => ({ reconnecting })),
  )

  test('however slow they are, clients have the rows of the version they were sent, and the newest in the end', () => {
    fc.assert(
      fc.property(rowsOf, fc.array(step, { maxLength: 30 }), (first, steps) => {
        let version = QueryVersion.first({ columns: [], rows: first })
        const history = new Map([[0, first]])
        const source = {
          epoch: 'e',
          get version() {
            return version
          },
        }
        const clients = Array.from({ length: 4 }, () => new Client())
        const flows = clients.map(
          (client) => new QueryFlow('s1', source, client, { has: undefined, maxRate: undefined }),
        )
        const check = (client: Client) => expect(client.rows).toEqual(history.get(client.version ?? -1))
        for (const action of steps) {
          if ('rows' in action) {
            version = version.next({ columns: [], rows: action.rows })
            history.set(version.number, action.rows)
          } else if ('taker' in action) {
            flows[action.taker]?.sendSome()
            if (clients[action.taker]?.version !== undefined) check(clients[action.taker] ?? new Client())
          } else {
            const client = clients[action.reconnecting] ?? new Client()
            const has = client.version === version.number ? client.version : undefined
            flows[action.reconnecting] = new QueryFlow('s1', source, client, { has, maxRate: undefined })
          }
        }
        for (const flow of flows) flow.sendSome()
        for (const client of clients) {
          check(client)
          expect(client.version).toBe(version.number)
        }
      }),
      { numRuns: 300 },
    )
  })

  test('the rows first, then those that have changed, and nothing where nothing has', async () => {
    const { analytics, live } = world()
    analytics.rows = [row(1), row(2), row(3)]
    const client = await new Client().subscribe(live)
    expect(client.messages).toMatchObject([
      { type: 'rows', version: 0, subscription: 's1', rows: [row(1), row(2), row(3)] },
    ])
    analytics.rows = [row(1), row(9), row(3)]
    analytics.changed()
    await client.until(() => client.version === 1)
    expect(client.messages[1]).toEqual({
      type: 'changes',
      subscription: 's1',
      version: 1,
      length: 3,
      rows: [[1, row(9)]],
    })
    const { runs } = analytics
    analytics.changed()
    await vi.waitFor(() => expect(analytics.runs).toBe(runs + 1))
    analytics.rows = [row(1)]
    analytics.changed()
    await client.until(() => client.version === 2)
    expect(client.messages[2]).toEqual({ type: 'changes', subscription: 's1', version: 2, length: 1, rows: [] })
    expect(client.messages).toHaveLength(3)
  })

  test('all rows where that is shorter, and where the columns are others', async () => {
    const { analytics, live } = world()
    analytics.rows = [row(1), row(2)]
    const client = await new Client().subscribe(live)
    analytics.rows = [row(3), row(4)]
    analytics.changed()
    await client.until(() => client.version === 1)
    analytics.rows = [{ other: 1 }, row(4)]
    analytics.changed()
    await client.until(() => client.version === 2)
    expect(client.messages.map(({ type }) => type)).toEqual(['rows', 'rows', 'rows'])
  })

  test('once for all subscribers: the same bytes', async () => {
    const { analytics, live } = world()
    analytics.rows = [row(1), row(2), row(3)]
    const clients = await Promise.all(Array.from({ length: 5 }, () => new Client().subscribe(live)))
    analytics.rows = [row(1), row(2), row(4)]
    analytics.changed()
    await Promise.all(clients.map((client) => client.until(() => client.version === 1)))
    expect(analytics.runs).toBe(2)
    for (const client of clients) {
      expect(client.frames[0]).toBe(clients[0]?.frames[0])
      expect(client.frames[1]).toBe(clients[0]?.frames[1])
    }
  })

  test('a slow client is sent the newest alone, whole if it has missed one', async () => {
    const { analytics, live } = world()
    analytics.rows = [row(1), row(2), row(3)]
    const [fast, slow] = [new Client(), new Client()]
    slow.fast = false
    await Promise.all([fast.subscribe(live), slow.subscribe(live)])
    slow.take()
    for (const n of [4, 5, 6]) {
      analytics.rows = [row(1), row(2), row(n)]
      analytics.changed()
      await fast.until(() => fast.rows?.[2]?.n === n)
    }
    expect(slow.flow.queued).toEqual({ events: 0, bytes: 0 })
    expect(slow.flow.settled).toBeUndefined()
    slow.take()
    expect(slow.messages.map(({ type }) => type)).toEqual(['rows', 'rows'])
    expect(slow.rows).toEqual(fast.rows)
    expect(slow.flow.settled).toBe(3)
  })

  test('no more often than maxRate', async () => {
    const { analytics, live } = world()
    analytics.rows = [row(0)]
    const [limited, other] = [new Client(), new Client()]
    await Promise.all([limited.subscribe(live, { maxRate: 0.001 }), other.subscribe(live)])
    analytics.rows = [row(1)]
    analytics.changed()
    await other.until(() => other.version === 1)
    expect(limited.version).toBe(0)
    expect(limited.flow.readyIn).toBeGreaterThan(100_000)
  })
})

describe('runs', () => {
  test('never two at once; what changes meanwhile is in one more', async () => {
    const { analytics, live } = world()
    analytics.rows = [row(0)]
    const client = await new Client().subscribe(live)
    let resume: () => void = () => undefined
    analytics.held = new Promise((resolve) => {
      resume = resolve
    })
    analytics.rows = [row(1)]
    analytics.changed()
    await vi.waitFor(() => expect(analytics.runs).toBe(2))
    analytics.rows = [row(2)]
    for (let n = 0; n < 10; n++) {
      analytics.changed()
      await sleep(3)
    }
    expect(analytics.runs).toBe(2)
    analytics.held = undefined
    resume()
    await client.until(() => client.rows?.[0]?.n === 2)
    await sleep(50)
    expect(analytics).toMatchObject({ runs: 3, mostAtOnce: 1 })
  })

  test('again after its refresh, without a change', async () => {
    const { analytics, live } = world({ refresh: 20 })
    const client = await new Client().subscribe(live)
    analytics.rows = [row(1)]
    await client.until(() => client.version === 1)
  })

  test('one for the same parameters and rows, others for others; bounded', async () => {
    const { analytics, live } = world()
    const tenant = (id: string): Principal => ({ ...me, rows: () => [{ tenant: id }] })
    await new Client().subscribe(live)
    await new Client().subscribe(live, { params: { least: 0 } })
    await new Client().subscribe(live, { params: { least: 1 } })
    expect(analytics.runs).toBe(2)
    await new Client().subscribe(live, {}, tenant('a'))
    await new Client().subscribe(live, {}, tenant('a'))
    expect(analytics.asked.map(({ params, rows }) => [params, rows])).toEqual([
      [{ least: 0 }, undefined],
      [{ least: 1 }, undefined],
      [{ least: 0 }, [{ tenant: 'a' }]],
    ])
    const refused = new Client().subscribe(live, {}, tenant('b'))
    await expect(refused).rejects.toMatchObject({ name: 'Retryable', code: 'too_many_live_queries' })
  })

  test('end with the last subscriber, at once', async () => {
    const { analytics, live } = world()
    const clients = await Promise.all([new Client().subscribe(live), new Client().subscribe(live)])
    expect(analytics.watching).toBe(1)
    const epoch = clients[0].flow.epoch
    clients[0].release()
    await sleep(20)
    expect(analytics.watching).toBe(1)
    clients[1].release()
    await vi.waitFor(() => expect(analytics.watching).toBe(0))
    const { runs } = analytics
    analytics.changed()
    await sleep(20)
    expect(analytics.runs).toBe(runs)
    expect((await new Client().subscribe(live)).flow.epoch).not.toBe(epoch)
  })
})

describe('resuming', () => {
  test('whoever has the newest rows gets none until something changes', async () => {
    const { analytics, live } = world()
    analytics.rows = [row(1), row(2), row(3)]
    const stays = await new Client().subscribe(live)
    const { epoch } = stays.flow
    const back = await new Client().subscribe(live, { since: { epoch, offset: 0 } })
    expect(back.subscribed).toMatchObject({ epoch, offset: 0, recovered: true })
    expect(back.messages).toEqual([])
    expect(back.flow.settled).toBe(0)
    back.rows = stays.rows
    back.version = 0
    analytics.rows = [row(1), row(2), row(4)]
    analytics.changed()
    await back.until(() => back.version === 1)
    expect(back.messages.map(({ type }) => type)).toEqual(['changes'])
  })

  test('an older version, or one of another life, is of no use', async () => {
    const { analytics, live } = world()
    const stays = await new Client().subscribe(live)
    analytics.rows = [row(1)]
    analytics.changed()
    await stays.until(() => stays.version === 1)
    for (const since of [
      { epoch: stays.flow.epoch, offset: 0 },
      { epoch: 'another', offset: 1 },
    ]) {
      const back = await new Client().subscribe(live, { since })
      expect(back.subscribed).toMatchObject({ offset: 1, recovered: false })
      expect(back.messages.map(({ type }) => type)).toEqual(['rows'])
    }
  })
})

describe('failures', () => {
  const failed = new InvalidInput({ code: 'query_failed', message: 'no such table' })
  const down = new Retryable({ code: 'clickhouse_unavailable', message: 'it is down' })

  test('the first run answers the request, and leaves nothing behind', async () => {
    const { analytics, live } = world()
    for (const error of [failed, down]) {
      analytics.error = error
      const both = await Promise.allSettled([new Client().subscribe(live), new Client().subscribe(live)])
      expect(both).toMatchObject([{ reason: error }, { reason: error }])
      await vi.waitFor(() => expect(analytics.watching).toBe(0))
    }
    analytics.error = undefined
    await new Client().subscribe(live)
  })

  test('an outage is told once, and over when it is over', async () => {
    const { analytics, live, warn } = world()
    const client = await new Client().subscribe(live)
    analytics.error = down
    analytics.changed()
    await client.until(() => client.messages.length === 2)
    expect(client.messages[1]).toEqual({
      id: null,
      type: 'error',
      code: 'clickhouse_unavailable',
      message: 'it is down',
      retry: true,
      subscription: 's1',
    })
    await vi.waitFor(() => expect(analytics.runs).toBeGreaterThan(4))
    analytics.error = undefined
    analytics.rows = [row(1)]
    await client.until(() => client.version === 1)
    expect(client.messages).toHaveLength(3)
    expect(warn).toHaveBeenCalledTimes(1)
  })

  test('what can never work again ends', async () => {
    const { analytics, live } = world()
    const clients = await Promise.all([new Client().subscribe(live), new Client().subscribe(live)])
    analytics.error = failed
    analytics.changed()
    for (const client of clients) {
      await client.until(() => client.ending !== undefined)
      expect(client.ending).toEqual({ code: 'query_failed', message: 'no such table', retry: false })
      client.release()
    }
    await vi.waitFor(() => expect(analytics.watching).toBe(0))
  })

  test.each([
    ['rows', Array.from({ length: 101 }, (_, n) => row(n)), '101 rows'],
    ['bytes', [row(1, 'x'.repeat(20_000))], 'bytes'],
  ])('a result of too many %s is refused', async (_name, rows, said) => {
    const { analytics, live } = world()
    const client = await new Client().subscribe(live)
    analytics.rows = rows
    await expect(new Client().subscribe(live, { params: { least: 1 } })).rejects.toMatchObject({
      code: 'live_query_too_large',
      message: expect.stringContaining(said),
    })
    analytics.changed()
    await client.until(() => client.ending !== undefined)
    expect(client.ending).toMatchObject({ code: 'live_query_too_large', retry: false })
  })

  test('what a principal may is looked at again', async () => {
    const { live } = world()
    const { subscribed } = await new Client().subscribe(live)
    expect(subscribed?.review(me)).toBeUndefined()
    expect(subscribed?.review({ ...me, may: () => false })).toMatchObject({ code: 'forbidden', retry: false })
    expect(subscribed?.review({ ...me, rows: () => [{ a: 1 }] })).toMatchObject({ code: 'rows_changed', retry: true })
  })
})
