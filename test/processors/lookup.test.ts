import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { openAnalytics } from '../../connectors/clickhouse/index.ts'
import type { Analytics } from '../../src/core/analytics.ts'
import type { Outcome, Processor } from '../../src/core/component.ts'
import { Fatal, InvalidInput, Retryable } from '../../src/core/errors.ts'
import type { Json } from '../../src/core/event.ts'
import type { Hashes } from '../../src/core/lookup.ts'
import type { Services } from '../../src/core/services.ts'
import { lookup } from '../../src/processors/lookup.ts'
import { LookupCache } from '../../src/processors/lookup-cache.ts'
import { CommittedState, contextFor, events, summary } from './support.ts'

const base = { key: 'value.id', as: 'customer' }

async function makeLookup(options: object, given: Partial<Services>): Promise<Processor> {
  const context = contextFor('lookup')
  const services: Services = { ...Object.create(context.services), ...given }
  return lookup.create({ ...base, ...options }, { ...context, services })
}

async function run(processor: Processor, ...values: Json[]): Promise<Outcome[]> {
  return processor.process(events(...values), { state: new CommittedState(), signal: new AbortController().signal })
}

/** Stands for a server whose calls are counted. */
class FakeHashes implements Hashes {
  readonly asked: (readonly string[])[] = []
  readonly data: Record<string, Record<string, string>>
  failure: Error | undefined

  constructor(data: Record<string, Record<string, string>>) {
    this.data = data
  }

  async get(keys: readonly string[]) {
    this.asked.push(keys)
    await new Promise((resolve) => setTimeout(resolve, 5))
    if (this.failure) throw this.failure
    return keys.map((key) =>
      key === 'c:odd' ? new InvalidInput({ code: 'lookup_no_hash', message: 'no hash' }) : this.data[key],
    )
  }
}

const ada = { name: 'Ada', tier: 'gold' }

describe('a lookup in Redis', () => {
  const open = async (options: object = {}) => {
    const hashes = new FakeHashes({ 'c:1': ada, 'c:2': { name: 'Bo' } })
    return { hashes, processor: await makeLookup({ redis: 'c:', ...options }, { hashes: async () => hashes }) }
  }

  it('asks once for all keys of a batch, and again for none while the answers are fresh', async () => {
    const { hashes, processor } = await open()
    const batch = [{ id: 1 }, { id: '2' }, { id: 1 }, { id: 'none' }]
    const joined = [
      { id: 1, customer: ada },
      { id: '2', customer: { name: 'Bo' } },
      { id: 1, customer: ada },
      { id: 'none', customer: null },
    ]
    expect(summary(await run(processor, ...batch))).toEqual(joined)
    expect(summary(await run(processor, ...batch))).toEqual(joined)
    expect(hashes.asked).toEqual([['c:1', 'c:2', 'c:none']])
    expect(summary(await run(processor, { id: 1 }, { id: 3 }))).toEqual([joined[0], { id: 3, customer: null }])
    expect(hashes.asked.slice(1)).toEqual([['c:3']])
  })

  it('shares what is on its way between batches', async () => {
    const { hashes, processor } = await open()
    const both = await Promise.all([run(processor, { id: 1 }, { id: 2 }), run(processor, { id: 2 }, { id: 3 })])
    expect(both.map((outcomes) => summary(outcomes).length)).toEqual([2, 2])
    expect(hashes.asked).toEqual([['c:1', 'c:2'], ['c:3']])
  })

  it('asks again when an answer has had its time', async () => {
    const { hashes, processor } = await open({ ttl: '30ms' })
    await run(processor, { id: 1 }, { id: 'none' })
    hashes.data['c:none'] = { name: 'Cy' }
    expect(summary(await run(processor, { id: 'none' }))).toEqual([{ id: 'none', customer: null }])
    await new Promise((resolve) => setTimeout(resolve, 40))
    expect(summary(await run(processor, { id: 'none' }))).toEqual([{ id: 'none', customer: { name: 'Cy' } }])
  })

  it('drops or fails what has nothing, as it is told', async () => {
    const dropping = await open({ otherwise: 'drop' })
    expect(summary(await run(dropping.processor, { id: 9 }, { id: null }, { id: 1 }))).toEqual([
      null,
      null,
      { id: 1, customer: ada },
    ])
    const failing = await open({ otherwise: 'fail' })
    expect(summary(await run(failing.processor, { id: 9 }, { id: null }))).toEqual(['lookup_missing', 'lookup_missing'])
    expect(dropping.hashes.asked).toEqual([['c:9', 'c:1']])
  })

  it('fails single events for what is wrong with them', async () => {
    const { processor } = await open()
    const outcomes = await run(processor, { id: 'odd' }, { id: [1] }, { other: 1 }, { id: 1 })
    expect(summary(outcomes)).toEqual([
      'lookup_no_hash',
      'bad_lookup_key',
      'expression_failed',
      { id: 1, customer: ada },
    ])
    const list = await makeLookup({ redis: 'c:', key: '"1"' }, { hashes: async () => new FakeHashes({}) })
    expect(summary(await run(list, [1]))).toEqual(['value_not_object'])
  })

  it('lets a server that is down be tried again', async () => {
    const { hashes, processor } = await open()
    hashes.failure = new Retryable({ code: 'redis_unavailable', message: 'down' })
    await expect(run(processor, { id: 1 })).rejects.toBe(hashes.failure)
    hashes.failure = undefined
    expect(summary(await run(processor, { id: 1 }))).toEqual([{ id: 1, customer: ada }])
  })

  it('says what to do when no Redis is bound', async () => {
    const failure = makeLookup({ redis: 'c:' }, {})
    await expect(failure).rejects.toThrow('none is bound')
    await expect(failure).rejects.toBeInstanceOf(Fatal)
  })
})

describe('a lookup in ClickHouse', () => {
  let folder: string
  let analytics: Analytics
  let opened: Analytics
  const counted: string[] = []
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'millrace-lookup-'))
    opened = await openAnalytics({ embedded: folder })
    analytics = Object.create(opened, {
      query: {
        value: (sql: string, ...rest: []) => {
          counted.push(sql)
          return opened.query(sql, ...rest)
        },
      },
    })
    for (const [table, id] of [
      ['customers', 'UInt32'],
      ['names', 'LowCardinality(Nullable(String))'],
    ] as const) {
      await opened.ensureTable({
        name: table,
        mode: 'append',
        columns: [
          { name: 'id', type: id },
          { name: 'name', type: 'String' },
          { name: 'tier', type: "Enum8('gold' = 1, 'none' = 2)" },
        ],
      })
    }
    await opened.insert(
      'customers',
      [
        { id: 1, ...ada },
        { id: 2, name: 'Bo', tier: 'none' },
      ],
      'one',
    )
    await opened.insert('names', [{ id: "o'x\\", ...ada }], 'two')
  })
  afterAll(async () => {
    await opened.close()
    await rm(folder, { recursive: true })
  })
  const open = (options: object) =>
    makeLookup({ clickhouse: 'customers', by: 'id', ...options }, { analytics: async () => analytics })

  it('asks one query for all keys of a batch', async () => {
    const processor = await open({ fields: ['name'] })
    const outcomes = await run(processor, { id: 1 }, { id: 2 }, { id: 3 }, { id: 'no number' }, { id: -1 })
    expect(summary(outcomes)).toEqual([
      { id: 1, customer: { name: 'Ada' } },
      { id: 2, customer: { name: 'Bo' } },
      { id: 3, customer: null },
      { id: 'no number', customer: null },
      { id: -1, customer: null },
    ])
    counted.length = 0
    await run(processor, { id: 4 }, { id: 5 }, { id: 1 })
    expect(counted).toHaveLength(1)
  })

  it('takes all columns when none are named, and texts as keys', async () => {
    expect(summary(await run(await open({}), { id: 1 }))).toEqual([{ id: 1, customer: { id: 1, ...ada } }])
    const processor = await open({ clickhouse: 'names', fields: ['tier'] })
    const key = "o'x\\"
    expect(summary(await run(processor, { id: key }))).toEqual([{ id: key, customer: { tier: 'gold' } }])
  })

  it('asks in several queries for what one may not answer', async () => {
    const most = 3
    const asked: number[] = []
    const query: Analytics['query'] = (sql, params) => {
      const keys = params?.keys
      if (!Array.isArray(keys)) return opened.query(sql)
      asked.push(keys.length)
      if (keys.length <= most) return opened.query(sql, params)
      return Promise.reject(new InvalidInput({ code: 'query_too_large', message: 'too many rows' }))
    }
    const narrow: Analytics = Object.create(opened, { query: { value: query } })
    const processor = await makeLookup(
      { clickhouse: 'customers', by: 'id', fields: ['name'] },
      { analytics: async () => narrow },
    )
    const outcomes = await run(processor, ...Array.from({ length: 10 }, (_, id) => ({ id })))
    expect(summary(outcomes).slice(0, 4)).toEqual([
      { id: 0, customer: null },
      { id: 1, customer: { name: 'Ada' } },
      { id: 2, customer: { name: 'Bo' } },
      { id: 3, customer: null },
    ])
    expect(asked).toEqual([10, 5, 3, 2, 5, 3, 2])
  })

  it('waits for a table that is not there yet, and gives up on a column', async () => {
    await expect(run(await open({ clickhouse: 'later' }), { id: 1 })).rejects.toBeInstanceOf(Retryable)
    await expect(run(await open({ fields: ['none'] }), { id: 1 })).rejects.toBeInstanceOf(Fatal)
  })
})

describe('a lookup over HTTP', () => {
  type Answer = (request: IncomingMessage, response: ServerResponse) => void
  const serve = async (answer: Answer) => {
    const asked: IncomingMessage[] = []
    const server = createServer((request, response) => {
      asked.push(request)
      answer(request, response)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    onTestFinished(() => {
      server.closeAllConnections()
      server.close()
    })
    const address = server.address()
    const origin = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`
    return { origin, asked }
  }
  const open = (url: string, options: object = {}, given: Partial<Services> = {}) =>
    makeLookup({ http: url, ...options }, given)
  const json = (response: ServerResponse, value: Json, status = 200) =>
    response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' }).end(JSON.stringify(value))

  it('gets each key once, with the headers of its origin, and escapes it', async () => {
    const { origin, asked } = await serve(({ url }, response) => json(response, { url: url ?? '', more: 1 }))
    const headersFor = (to: string) => (to === origin ? { authorization: 'Bearer secret' } : {})
    const processor = await open(`${origin}/customers/{key}?full={key}`, { fields: ['url'] }, { headersFor })
    const odd = '../ä?#&'
    expect(summary(await run(processor, { id: odd }, { id: odd }, { id: 7 }))).toEqual([
      { id: odd, customer: { url: '/customers/..%2F%C3%A4%3F%23%26?full=..%2F%C3%A4%3F%23%26' } },
      { id: odd, customer: { url: '/customers/..%2F%C3%A4%3F%23%26?full=..%2F%C3%A4%3F%23%26' } },
      { id: 7, customer: { url: '/customers/7?full=7' } },
    ])
    expect(asked.map(({ headers }) => headers.authorization)).toEqual(['Bearer secret', 'Bearer secret'])
    expect(summary(await run(processor, { id: '..' }))).toEqual(['bad_lookup_key'])
  })

  it('tells what is missing, refused, no JSON or too large apart', async () => {
    const { origin } = await serve(({ url }, response) => {
      if (url === '/missing') json(response, {}, 404)
      else if (url === '/refused') json(response, {}, 422)
      else if (url === '/text') response.writeHead(200, { 'content-type': 'text/html' }).end('<p>')
      else if (url === '/broken') response.writeHead(200, { 'content-type': 'application/json' }).end('{')
      else if (url === '/large') json(response, 'x'.repeat(2 ** 20))
      else json(response, [url ?? ''])
    })
    const processor = await open(`${origin}/{key}`)
    const names = ['missing', 'refused', 'text', 'broken', 'large', 'there']
    expect(summary(await run(processor, ...names.map((id) => ({ id }))))).toEqual([
      { id: 'missing', customer: null },
      'lookup_refused',
      'lookup_not_json',
      'lookup_not_json',
      'lookup_too_large',
      { id: 'there', customer: ['/there'] },
    ])
  })

  it('follows redirects to itself only', async () => {
    const other = await serve((_, response) => json(response, 'elsewhere'))
    const { origin } = await serve(({ url }, response) => {
      if (url === '/near') response.writeHead(302, { location: '/there' }).end()
      else if (url === '/far') response.writeHead(302, { location: `${other.origin}/there` }).end()
      else if (url === '/round') response.writeHead(302, { location: '/round' }).end()
      else json(response, 'here')
    })
    const processor = await open(`${origin}/{key}`)
    expect(summary(await run(processor, { id: 'near' }, { id: 'far' }, { id: 'round' }))).toEqual([
      { id: 'near', customer: 'here' },
      'lookup_redirect',
      'lookup_redirect',
    ])
    expect(other.asked).toEqual([])
  })

  it('waits as long as a busy server says, and keeps what it has got', async () => {
    let busy = true
    const { origin, asked } = await serve(({ url }, response) => {
      if (url === '/2' && busy) response.writeHead(503, { 'retry-after': '7' }).end()
      else json(response, url ?? '')
    })
    const processor = await open(`${origin}/{key}`)
    const failure = await run(processor, { id: 1 }, { id: 2 }).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(Retryable)
    expect(failure).toMatchObject({ delayMs: 7_000 })
    busy = false
    expect(summary(await run(processor, { id: 1 }, { id: 2 }))).toHaveLength(2)
    expect(asked.map(({ url }) => url).sort()).toEqual(['/1', '/2', '/2'])
  })

  it('waits no longer than a minute for a server that asks for more', async () => {
    const { origin } = await serve((_, response) => response.writeHead(429, { 'retry-after': '9999999' }).end())
    const failure = await run(await open(`${origin}/{key}`), { id: 1 }).catch((error: unknown) => error)
    expect(failure).toMatchObject({ delayMs: 60_000 })
  })

  it('asks no more of a server that does not answer, and keeps what it has got', async () => {
    let answering = false
    const { origin, asked } = await serve(({ url, socket }, response) => {
      if (answering || url === '/0') json(response, url ?? '')
      else setTimeout(() => socket.destroy(), 20)
    })
    const processor = await open(`${origin}/{key}`)
    const batch = Array.from({ length: 500 }, (_, id) => ({ id }))
    await expect(run(processor, ...batch)).rejects.toBeInstanceOf(Retryable)
    expect(asked.length).toBeLessThan(40)
    answering = true
    expect(summary(await run(processor, ...batch))).toHaveLength(500)
    expect(asked.filter(({ url }) => url === '/0')).toHaveLength(1)
  })

  it('tries again what cannot be reached, and stops at credentials that are wrong', async () => {
    const gone = await open('http://127.0.0.1:1/{key}')
    await expect(run(gone, { id: 1 })).rejects.toBeInstanceOf(Retryable)
    const { origin } = await serve((_, response) => json(response, {}, 401))
    await expect(run(await open(`${origin}/{key}`), { id: 1 })).rejects.toBeInstanceOf(Fatal)
  })

  it('asks for a bounded number of keys at once', async () => {
    let now = 0
    let most = 0
    const { origin } = await serve((_, response) => {
      most = Math.max(most, ++now)
      setTimeout(() => {
        now--
        json(response, 1)
      }, 5)
    })
    await run(await open(`${origin}/{key}`), ...Array.from({ length: 100 }, (_, id) => ({ id })))
    expect(most).toBeGreaterThan(4)
    expect(most).toBeLessThanOrEqual(16)
  })
})

describe('the options of a lookup', () => {
  const problems = (options: object) =>
    lookup.options.safeParse({ ...base, ...options }).error?.issues.map(({ message }) => message) ?? []

  it('name one place', () => {
    expect(problems({})).toHaveLength(1)
    expect(problems({ redis: 'a', http: 'http://a/{key}' })).toHaveLength(1)
    expect(problems({ clickhouse: 't' })).toHaveLength(1)
    expect(problems({ redis: 'a', by: 'id' })).toHaveLength(1)
    expect(problems({ clickhouse: 't; DROP', by: 'id' })).toHaveLength(1)
    expect(problems({ redis: '' })).toEqual([])
  })

  it.each(['ftp://a/{key}', 'http://a/b', 'http://{key}/b', 'http://u:p@a/{key}', 'no address {key}'])(
    'refuse the address %s',
    (http) => expect(problems({ http })).toHaveLength(1),
  )

  it('add their field to the shape', () => {
    const shape = { fields: new Set(['id']), vectors: new Set<string>() }
    expect(lookup.shape({ ...base, redis: '' }, shape).fields).toEqual(new Set(['id', 'customer']))
  })
})

it('the memory of a lookup is bounded', async () => {
  const asked: string[] = []
  const value = 'x'.repeat(1_000)
  const cache = new LookupCache(
    (keys) => {
      asked.push(...keys)
      return keys.map(() => Promise.resolve({ found: true as const, value }))
    },
    60_000,
    20_000,
  )
  const { signal } = new AbortController()
  for (let n = 0; n < 100; n++) await cache.get(new Set([`${n}`]), signal)
  asked.length = 0
  await cache.get(new Set(['99', '98', '0']), signal)
  expect(asked).toEqual(['0'])
})

it('whoever gives up waits no longer', async () => {
  const cache = new LookupCache((keys) => keys.map(() => new Promise(() => {})), 60_000)
  const stop = new AbortController()
  const waiting = cache.get(new Set(['a']), stop.signal)
  stop.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
})
