import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { AccessRule } from '../../src/access/index.ts'
import type { AuditEntry } from '../../src/core/audit.ts'
import type { Action } from '../../src/core/principal.ts'
import { seconds, signBySecret } from '../access/signing.ts'
import { type Harness, json, startServer } from './harness.ts'

const secret = 'a secret that has thirty-two bytes, and some more'
const clockTolerance = 0

/** Each caller has one rule, which its token names. */
const callers: Readonly<Record<string, AccessRule>> = {
  nobody: { subscribe: ['something.else'] },
  tenant: {
    publish: ['orders'],
    subscribe: ['orders', 'orders.live'],
    search: ['tickets', 'bare'],
    query: ['*'],
    rows: { category: 'tenant' },
  },
  limited: { subscribe: ['orders'], manage: ['orders.*', 'mine', 'server'] },
}

/** How the refusal of each action reads. */
const said: Readonly<Record<Action, string>> = {
  publish: 'publish to',
  subscribe: 'subscribe to',
  search: 'search',
  query: 'run the query',
  manage: 'manage',
}

/** Who may call a route, and a request for it. A route that is not here fails the test below. */
const routes: readonly (readonly [string, 'anyone' | 'caller' | readonly [Action, string], RequestInit?])[] = [
  ['GET /livez', 'anyone'],
  ['GET /readyz', 'anyone'],
  ['GET /metrics', ['manage', 'server']],
  ['GET /openapi.json', 'caller'],
  ['GET /v1/topics', 'caller'],
  ['POST /v1/topics', ['manage', 'orders.new'], json({ name: 'orders.new' })],
  ['GET /v1/topics/orders', ['subscribe', 'orders']],
  ['POST /v1/topics/orders/events', ['publish', 'orders'], json({ a: 1 })],
  ['GET /v1/topics/orders/events', ['subscribe', 'orders']],
  ['GET /v1/topics/orders/tail', ['subscribe', 'orders']],
  ['GET /v1/pipelines', 'caller'],
  ['GET /v1/pipelines/mine', ['manage', 'mine']],
  ['PUT /v1/pipelines/mine', ['manage', 'mine'], { method: 'PUT', body: 'name: mine' }],
  ['POST /v1/pipelines/mine/pause', ['manage', 'mine'], json({})],
  ['POST /v1/pipelines/mine/resume', ['manage', 'mine'], json({})],
  ['DELETE /v1/pipelines/mine', ['manage', 'mine'], { method: 'DELETE' }],
  ['GET /v1/collections', 'caller'],
  ['POST /v1/collections/tickets/search', ['search', 'tickets'], json({ text: 'abc' })],
  ['POST /v1/query', ['query', 'sql'], json({ sql: 'SELECT 1' })],
  ['GET /v1/tables', ['query', 'sql']],
  ['GET /v1/queries', 'caller'],
  ['POST /v1/queries/counts', ['query', 'counts'], json({})],
  ['POST /v1/embeddings', ['query', 'embeddings'], json({ model: 'letters', input: 'a' })],
  ['GET /v1/models', ['query', 'embeddings']],
  ['POST /v1/tokens', ['query', 'embeddings'], json({ model: 'letters', input: 'a' })],
  ['GET /v1/channels', 'caller'],
  ['GET /v1/channels/tickets', ['subscribe', 'tickets']],
  ['GET /v1/channels/tickets/presence', ['subscribe', 'tickets']],
  ['GET /v1/live', 'caller'],
  ['GET /v1/live/tickets', ['subscribe', 'tickets']],
]
const asked = routes.flatMap(([route, permission, init]) =>
  typeof permission === 'string' ? [] : [[route, permission[0], permission[1], init] as const],
)

let server: Harness
const audited: AuditEntry[] = []
beforeAll(async () => {
  const each = asked.map(([route, action, name]): AccessRule => ({ when: { route }, [action]: [name] }))
  const named = Object.entries(callers).map(([caller, rule]): AccessRule => ({ ...rule, when: { caller } }))
  server = await startServer({
    access: { token: 'the token of the server', jwt: { secret, clockTolerance }, access: [...each, ...named] },
    audit: (entry) => audited.push(entry),
    ready: () => ({ ready: true, reasons: ['the pipeline x has failed'] }),
  })
  const log = server.log
  for (const topic of ['orders', 'hidden']) await log.ensureTopic(topic, { partitions: 1 })
  const orders = [{ category: 'acme', a: 1 }, { category: 'other', a: 2 }, { a: 3 }, [1], 'text', null]
  const encoder = new TextEncoder()
  await log.append(
    'orders',
    orders.map((value) => ({
      key: null,
      headers: {},
      value: value === null ? null : encoder.encode(JSON.stringify(value)),
    })),
  )
})
afterAll(() => server[Symbol.asyncDispose]())

async function call(claims: Record<string, unknown> | undefined, route: string, init: RequestInit = {}) {
  const [method = '', path = ''] = route.split(' ')
  const headers = new Headers(init.headers)
  const token = claims === undefined ? undefined : await signBySecret(secret, claims)
  if (token !== undefined) headers.set('authorization', `Bearer ${token}`)
  const stop = new AbortController()
  const response = await server.fetch(path, { ...init, method, headers, signal: stop.signal })
  const isStream = response.headers.get('content-type') === 'text/event-stream'
  const text = isStream ? '' : await response.text()
  stop.abort()
  return { status: response.status, headers: response.headers, body: text.startsWith('{') ? JSON.parse(text) : text }
}

const description = z.object({ paths: z.record(z.string(), z.record(z.string(), z.unknown())) })

test('every route that there is stands in the table', async () => {
  const { body } = await call({ caller: 'nobody' }, 'GET /openapi.json')
  const { paths } = description.parse(body)
  const there = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{\w+\}/g, '*')}`),
  )
  const shape = (route: string) => route.replace(/(topics|collections|channels|live|queries|pipelines)\/[^/]+/, '$1/*')
  const told = routes.map(([route]) => shape(route)).filter((route) => route !== 'GET /openapi.json')
  expect(told.toSorted()).toEqual(there.toSorted())
})

describe.each(asked)('%s', (route, action, name, init) => {
  test('needs someone', async () => {
    expect(await call(undefined, route, init)).toMatchObject({ status: 401, body: { code: 'unauthenticated' } })
  })

  test(`is refused to who may not ${action} ${name}`, async () => {
    const refused = await call({ caller: 'nobody' }, route, init)
    expect(refused).toMatchObject({ status: 403, body: { code: 'forbidden' } })
    expect(refused.body.detail).toBe(`"ann" may not ${said[action]} "${name}".`)
    expect(audited.at(-1)).toMatchObject({ action, name, principal: 'ann', outcome: 'refused', code: 'forbidden' })
  })

  test('is for who may do just that', async () => {
    const { status } = await call({ route }, route, init)
    expect([401, 403]).not.toContain(status)
    const entry = audited.findLast((each) => each.action === action && each.name === name)
    if (route !== 'GET /v1/topics/orders') expect(entry).toMatchObject({ principal: 'ann', outcome: 'allowed' })
  })
})

test.each(routes.flatMap(([route, permission]) => (permission === 'caller' ? [route] : [])))(
  '%s needs someone, whoever it is',
  async (route) => {
    expect((await call(undefined, route)).status).toBe(401)
    expect((await call({ caller: 'nobody' }, route)).status).not.toBe(403)
  },
)

test('probes are for everyone, and say why only to who may manage the server', async () => {
  expect(await call(undefined, 'GET /livez')).toMatchObject({ status: 200 })
  expect((await call(undefined, 'GET /readyz')).body).toEqual({ ready: true, reasons: [] })
  expect((await call({ caller: 'nobody' }, 'GET /readyz')).body).toEqual({ ready: true, reasons: [] })
  expect((await call({ caller: 'limited' }, 'GET /readyz')).body.reasons).toHaveLength(1)
})

test('lists have what the caller may, and nothing else', async () => {
  await server.pipelines.put('mine', 'name: mine')
  await server.pipelines.put('theirs', 'name: theirs')
  const names = (list: readonly { name: string }[]) => list.map(({ name }) => name).toSorted()
  const lists = async (caller: string, tenant?: string) => {
    const [topics, pipelines, collections, channels] = await Promise.all(
      ['topics', 'pipelines', 'collections', 'channels'].map((what) => call({ caller, tenant }, `GET /v1/${what}`)),
    )
    return [topics?.body.topics, pipelines?.body.pipelines, collections?.body.collections, channels?.body.channels].map(
      names,
    )
  }
  expect(await lists('nobody')).toEqual([[], [], [], []])
  expect(await lists('limited')).toEqual([['orders', 'orders.new'], ['mine'], [], []])
  expect((await lists('tenant', 'acme'))[0]).toEqual(['orders'])
  // A rule that tells rows by a claim is for nobody without it.
  expect((await lists('tenant'))[0]).toEqual([])
})

test('a name that the caller may not know is not guessed for it', async () => {
  const missing = await call({ caller: 'limited' }, 'GET /v1/topics/orders.nex')
  expect(missing).toMatchObject({ status: 404, body: { detail: expect.stringContaining('orders.new') } })
  const rules: AccessRule[] = [{ subscribe: ['hiddem'], publish: ['hiddem'] }]
  await using other = await startServer({ access: { jwt: { secret, clockTolerance }, access: rules } })
  await other.log.ensureTopic('hidden', {})
  const headers = { authorization: `Bearer ${await signBySecret(secret)}` }
  for (const request of [{}, json({ a: 1 })]) {
    const answer = await other.fetch('/v1/topics/hiddem/events', { ...request, headers })
    expect(answer.status).toBe(404)
    expect(await answer.text()).not.toContain('hidden')
  }
})

describe('rows of ones own', () => {
  const tenant = { caller: 'tenant', tenant: 'acme' }

  test('of a topic only those are read, and followed', async () => {
    const { body } = await call(tenant, 'GET /v1/topics/orders/events?limit=100')
    expect(body.events.map(({ value }: { value: unknown }) => value)).toEqual([{ category: 'acme', a: 1 }])
    const all = await call({ caller: 'limited' }, 'GET /v1/topics/orders/events?limit=100')
    expect(all.body.events.length).toBeGreaterThan(5)
    const headers = { authorization: `Bearer ${await signBySecret(secret, tenant)}` }
    const stream = await server.fetch('/v1/topics/orders/tail?last=100', { headers })
    const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader()
    await server.log.append('orders', [
      { key: null, headers: {}, value: new TextEncoder().encode('{"category":"other","a":4}') },
      { key: null, headers: {}, value: new TextEncoder().encode('{"category":"acme","a":5}') },
    ])
    let text = ''
    while (!text.includes('"a":5')) text += (await reader?.read())?.value ?? ''
    await reader?.cancel()
    expect([...text.matchAll(/"a":(\d)/g)].map(([, a]) => a)).toEqual(['1', '5'])
  })

  test.each([
    [{ category: 'acme', a: 9 }, 200],
    [[{ category: 'acme' }, { category: 'acme' }], 200],
    [{ category: 'other' }, 403],
    [[{ category: 'acme' }, { category: 'other' }], 403],
    [{ a: 1 }, 403],
    [{ category: ['acme'] }, 403],
    [{ Category: 'acme' }, 403],
    ['acme', 403],
  ])('%j is published: %i', async (events, status) => {
    const before = (await server.log.topics()).find(({ name }) => name === 'orders')?.partitions[0]?.end
    const answer = await call(tenant, 'POST /v1/topics/orders/events', json(events))
    expect(answer.status).toBe(status)
    if (status === 200) return
    expect(answer.body.code).toBe('foreign_rows')
    expect(audited.at(-1)).toMatchObject({
      action: 'publish',
      name: 'orders',
      outcome: 'refused',
      code: 'foreign_rows',
    })
    const after = (await server.log.topics()).find(({ name }) => name === 'orders')?.partitions[0]?.end
    expect(after).toBe(before)
  })

  test('a deletion has no rows, and is not taken', async () => {
    const event = { specversion: '1.0', id: '1', source: '/x', type: 'deleted', partitionkey: 'theirs' }
    const init = {
      method: 'POST',
      headers: { 'content-type': 'application/cloudevents+json' },
      body: JSON.stringify(event),
    }
    expect(await call(tenant, 'POST /v1/topics/orders/events', init)).toMatchObject({
      status: 403,
      body: { code: 'foreign_rows' },
    })
  })

  test('any SQL, and the names of tables, are refused, with what to do instead', async () => {
    for (const [route, init] of [['POST /v1/query', json({ sql: 'SELECT 1' })], ['GET /v1/tables']] as const) {
      expect(await call(tenant, route, init)).toMatchObject({
        status: 403,
        body: { code: 'forbidden', hint: expect.stringContaining('GET /v1/queries') },
      })
    }
  })

  test('a search has them as its filter, beside that of the caller', async () => {
    const body = { text: 'abc', filter: { $or: [{ category: 'other' }, { category: 'acme' }] } }
    expect((await call(tenant, 'POST /v1/collections/tickets/search', json(body))).status).toBe(200)
    expect(server.vectors.queries.at(-1)?.filter).toEqual({
      $and: [
        { $or: [{ $and: [{ category: { $eq: 'acme' } }] }] },
        { $or: [{ category: { $eq: 'other' } }, { category: { $eq: 'acme' } }] },
      ],
    })
  })
})

test('a stream ends when its token does', async () => {
  const token = await signBySecret(secret, { caller: 'limited', exp: seconds() + 2 })
  const headers = { authorization: `Bearer ${token}` }
  const streams = await Promise.all(
    ['/v1/topics/orders/tail', '/v1/pipelines?watch=true'].map((path) => server.fetch(path, { headers })),
  )
  for (const stream of streams) {
    expect(stream.status).toBe(200)
    await stream.text()
  }
  expect((await server.fetch('/v1/topics', { headers })).status).toBe(401)
})

test('no token comes into the audit trail, the metrics or the log', async () => {
  const token = await signBySecret(secret, { caller: 'nobody' })
  await server.fetch(`/v1/topics?token=${token}`)
  await server.fetch(`/v1/topics/orders/events?token=${token}x`)
  expect(audited.at(-1)).toMatchObject({ action: 'authenticate', outcome: 'refused', code: 'token_invalid' })
  expect(audited.at(-1)?.address).toMatch(/127\.0\.0\.1$/)
  const written = JSON.stringify([audited, server.errors]) + (await server.metrics.text())
  expect(written).not.toContain(token.slice(-20))
})
