import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FakeVectors } from './fakes.ts'
import { type Harness, json, startServer } from './harness.ts'

let server: Harness
let ready = true
beforeAll(async () => {
  server = await startServer({ ready: () => ({ ready, reasons: ready ? [] : ['the model is loading'] }) })
})
afterAll(() => server[Symbol.asyncDispose]())

async function get(path: string, init?: RequestInit) {
  const response = await server.fetch(path, init)
  const text = await response.text()
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: text.startsWith('{') ? JSON.parse(text) : undefined,
  }
}

describe('pipelines', () => {
  test('put, list, one, pause, resume, delete', async () => {
    const yaml = { method: 'PUT', headers: { 'content-type': 'application/yaml' }, body: 'name: p\n' }
    expect((await get('/v1/pipelines/p', yaml)).body).toMatchObject({ name: 'p', text: 'name: p\n', state: 'running' })
    expect((await get('/v1/pipelines')).body).toMatchObject({ pipelines: [{ name: 'p', lag: 2 }] })
    expect((await get('/v1/pipelines/p/pause', { method: 'POST' })).body).toMatchObject({ state: 'paused' })
    expect((await get('/v1/pipelines/p/resume', { method: 'POST' })).body).toMatchObject({ state: 'running' })
    expect((await get('/v1/pipelines/p')).body).toMatchObject({ name: 'p' })
    expect((await get('/v1/pipelines/p', { method: 'DELETE' })).status).toBe(204)
    expect(await get('/v1/pipelines/p')).toMatchObject({ status: 404, body: { code: 'pipeline_not_found' } })
  })

  test('watched: one at once, and one whenever something changed', async () => {
    const response = await server.fetch('/v1/pipelines?watch=true&interval=100')
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
    let text = ''
    const until = async (part: string) => {
      while (!text.includes(part)) text += (await reader?.read())?.value ?? ''
    }
    await until('event: pipelines\ndata: {"pipelines":[]}')
    await server.pipelines.put('q', 'name: q')
    await until('"name":"q"')
    expect(text).not.toContain('"text"')
    await reader?.cancel()
  })
})

describe('search', () => {
  test('by text, with the options; by vector', async () => {
    const found = await get(
      '/v1/collections/tickets/search',
      json({ text: 'abc', k: 3, filter: { category: 'x' }, minScore: 0.1 }),
    )
    expect(found.body).toMatchObject({ matches: [{ id: 'tickets/0/0', score: 0.9, position: { offset: 0 } }] })
    expect(server.vectors.queries.at(-1)).toMatchObject({
      k: 3,
      filter: { category: { $eq: 'x' } },
      minScore: 0.1,
    })
    const vector = Array.from({ length: 26 }, (_, index) => index)
    expect((await get('/v1/collections/tickets/search', json({ vector }))).status).toBe(200)
    expect(server.vectors.queries.at(-1)).toMatchObject({ k: 10, vector: Float32Array.from(vector) })
  })

  test('by words and age as well, with what the score is made of', async () => {
    const search = async (body: object) => (await get('/v1/collections/tickets/search', json(body))).body
    expect((await search({ text: 'Billing' })).matches).toMatchObject([{ score: 0.9, similarity: 0.9 }])
    const [hybrid] = (await search({ text: 'Billing!', hybrid: true })).matches
    expect(hybrid).toMatchObject({ similarity: 0.9, words: 1, score: expect.closeTo(0.7 * 0.9 + 0.3, 6) })
    const [weighed] = (await search({ text: 'billing', hybrid: { weight: 0.5 } })).matches
    expect(weighed.score).toBeCloseTo(0.95, 6)
    expect((await search({ text: 'billing', hybrid: false })).matches[0].words).toBeUndefined()
    // It is decades old.
    const recency = { halfLife: '7d', weight: 0.5 }
    expect((await search({ text: 'a', recency })).matches).toMatchObject([{ score: 0.45, similarity: 0.9 }])
    expect((await search({ text: 'a', recency: { halfLife: 1_000 } })).matches[0].score).toBeCloseTo(0.63, 6)
  })

  test('words where no match has a text are answered with a hint', async () => {
    await using other = await startServer({ vectors: new FakeVectors('letters-26', { category: 7 }) })
    const search = async (body: object) => (await other.fetch('/v1/collections/tickets/search', json(body))).json()
    expect(await search({ text: 'a', hybrid: true })).toMatchObject({ hint: expect.stringContaining('`fields:`') })
    expect(await search({ text: 'a' })).not.toHaveProperty('hint')
  })

  test.each([
    [{ vector: [1], hybrid: true }, 'give text in place of vector'],
    [{ text: 'a', hybrid: 'yes' }, '/hybrid: expected true, false or'],
    [{ text: 'a', hybrid: { weight: 2 } }, '/hybrid/weight: Too big'],
    [{ text: 'a', hybrid: { wieght: 0.2 } }, '/hybrid: unknown field'],
    [{ text: 'a', recency: { halfLife: 'soon' } }, '/recency/halfLife'],
    [{ text: 'a', recency: { weight: 0.3 } }, '/recency/halfLife'],
    [{}, 'exactly one of text and vector'],
    [{ text: 'a', vector: [1] }, 'exactly one of text and vector'],
    [{ text: 'a', k: 0 }, '/k'],
    [{ text: 'a', kk: 1 }, 'kk'],
    [{ text: 'a', filter: { x: { $near: 1 } } }, '/filter'],
  ])('%j is refused', async (body, said) => {
    const answer = await get('/v1/collections/tickets/search', json(body))
    expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_body' } })
    expect(answer.text).toContain(said)
  })

  test('of very many unknown fields, with very long names, some are told', async () => {
    const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`field${index}`, 1]))
    const answer = await get('/v1/collections/tickets/search', json({ ...many, text: 'a' }))
    expect(answer).toMatchObject({ status: 400, body: { detail: expect.stringContaining('and 9990 more') } })
    expect(answer.text.length).toBeLessThan(5_000)
    const long = await get('/v1/collections/tickets/search', json({ ['x'.repeat(100_000)]: 1, text: 'a' }))
    expect(long.text.length).toBeLessThan(1_000)
  })

  test('a filter nested deeper than can be checked', async () => {
    const deep = `{"text":"a","filter":${'{"$and":['.repeat(20_000)}${']}'.repeat(20_000)}}`
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: deep }
    expect(await get('/v1/collections/tickets/search', init)).toMatchObject({ status: 400 })
  })

  test('an unknown collection, and one of another model', async () => {
    expect(await get('/v1/collections/ticket/search', json({ text: 'a' }))).toMatchObject({
      status: 404,
      body: { code: 'collection_not_found', detail: expect.stringContaining('"tickets"') },
    })
    await using other = await startServer({ vectors: new FakeVectors('another-model') })
    const response = await other.fetch('/v1/collections/tickets/search', json({ text: 'a' }))
    expect(response.status).toBe(409)
    expect(await response.json()).toMatchObject({ code: 'fingerprint_mismatch' })
  })

  test('all collections', async () => {
    expect((await get('/v1/collections')).body).toMatchObject({
      collections: [{ name: 'tickets', dimension: 26, count: 1 }],
    })
  })
})

test('query and tables', async () => {
  expect((await get('/v1/query', json({ sql: 'SELECT 1 AS one', params: { a: [1] } }))).body).toEqual({
    columns: [{ name: 'one', type: 'UInt8' }],
    rows: [{ one: 1 }],
  })
  expect(await get('/v1/query', json({ sql: 'SELECT nope' }))).toMatchObject({
    status: 400,
    body: { code: 'bad_query' },
  })
  expect((await get('/v1/tables')).body).toEqual({ tables: [{ name: 'tickets', rows: 3, bytes: 99 }] })
})

test('probes and metrics', async () => {
  expect((await get('/livez')).body).toMatchObject({ service: 'millrace' })
  expect((await get('/readyz')).status).toBe(200)
  ready = false
  expect(await get('/readyz')).toMatchObject({ status: 503, body: { ready: false, reasons: ['the model is loading'] } })
  ready = true
  const { text } = await get('/metrics')
  expect(text).toMatch(/millrace_http_request_seconds_count\{method="GET",route="\/readyz",status="503"\} 1/)
})

test('what is not there, and what failed', async () => {
  expect(await get('/v1/nothing')).toMatchObject({ status: 404, body: { code: 'route_not_found' } })
  expect(await get('/v1/live')).toMatchObject({ status: 426, body: { code: 'upgrade_required' } })
  server.pipelines.list = () => Promise.reject(new TypeError('a secret of the inside'))
  const failed = await get('/v1/pipelines')
  expect(failed).toMatchObject({ status: 500, body: { code: 'internal_error' } })
  expect(failed.text).not.toContain('secret')
  expect(server.errors).toHaveLength(1)
})

describe('the page', () => {
  test('a hint as long as it is not built; then its files, cached as they may be', async () => {
    expect(await get('/')).toMatchObject({ status: 200, text: expect.stringContaining('not built') })
    const folder = join(server.folder, 'dashboard')
    await mkdir(join(folder, 'assets'), { recursive: true })
    await writeFile(join(folder, 'index.html'), '<p>page</p>')
    await writeFile(join(folder, 'assets', 'app-1a2b.js'), 'let a')
    await symlink('/etc/hostname', join(folder, 'outside.txt'))
    const page = await get('/')
    expect(page.text).toBe('<p>page</p>')
    expect(page.headers.get('cache-control')).toBe('no-cache')
    expect(page.headers.get('content-security-policy')).toContain("frame-ancestors 'none'")
    const etag = page.headers.get('etag') ?? ''
    expect((await get('/', { headers: { 'if-none-match': etag } })).status).toBe(304)
    const asset = await get('/assets/app-1a2b.js')
    expect(asset.headers.get('cache-control')).toContain('immutable')
    expect(asset.headers.get('content-type')).toContain('text/javascript')
    expect((await get('/pipelines/p')).text).toBe('<p>page</p>')
    for (const path of [
      '/assets/none.js',
      '/outside.txt',
      '/..%2f..%2fetc%2fhostname.txt',
      '/%2e%2e/schemas/x.json',
      '/%E0%A4%A.js',
    ]) {
      expect((await get(path)).status, path).toBe(404)
    }
  })
})

describe('/openapi.json', () => {
  test('every reference leads somewhere, every schema compiles, every example fits its schema', async () => {
    const { body } = await get('/openapi.json')
    expect(body.openapi).toBe('3.1.0')
    const ajv = new Ajv2020({ strict: false, logger: false })
    ajv.addSchema({ ...body, $id: 'api' })
    let examples = 0
    const visit = (node: unknown, path: string): void => {
      if (typeof node !== 'object' || node === null) return
      if ('$ref' in node && typeof node.$ref === 'string') {
        expect(ajv.getSchema(`api${node.$ref}`), `${path} ${node.$ref}`).toBeDefined()
      }
      if ('schema' in node && 'example' in node) {
        const reference = JSON.stringify(node.schema).replaceAll('"#/', '"api#/')
        const validate = ajv.compile(JSON.parse(reference))
        expect(validate(node.example), `${path}: ${ajv.errorsText(validate.errors)}`).toBe(true)
        examples++
      }
      for (const [name, child] of Object.entries(node)) visit(child, `${path}/${name}`)
    }
    visit(body, '')
    expect(examples).toBeGreaterThan(30)
  })

  test('it has every route, with its parameters and unique ids', async () => {
    const { body } = await get('/openapi.json')
    const ids: string[] = []
    for (const [path, operations] of Object.entries<
      Record<string, { operationId: string; parameters: { name: string; in: string }[] }>
    >(body.paths)) {
      for (const { operationId, parameters } of Object.values(operations)) {
        ids.push(operationId)
        const named = parameters.filter((parameter) => parameter.in === 'path').map(({ name }) => name)
        expect(named).toEqual([...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name))
      }
    }
    expect(new Set(ids).size).toBe(ids.length)
    const served = server.app.routes.filter(({ method, path }) => method !== 'ALL' && path.startsWith('/v1/'))
    expect(ids.length).toBe(served.length + 3)
  })
})
