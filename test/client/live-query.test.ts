import { afterEach, expect, test } from 'vitest'
import { type Client, connect } from '../../src/client/index.ts'
import type { JsonValue, RowsMessage } from '../../src/live/protocol.ts'
import { FakeServer, settled } from './fake-server.ts'

const clients: Client[] = []
afterEach(() => {
  for (const client of clients.splice(0)) client.close()
})

const columns = [{ name: 'plan', type: 'String' }]
const rows = (version: number, ...plans: string[]): RowsMessage => ({
  type: 'rows',
  subscription: 'q',
  version,
  columns,
  rows: plans.map((plan) => ({ plan })),
})

/** Begins each live query with these rows; with none for a client that says it has them. */
function queryServer(first: RowsMessage): { server: FakeServer; client: Client } {
  const server = new FakeServer()
  server.answer = (message, connection) => {
    if (message.type !== 'subscribe' || !('query' in message)) return
    const { id, since } = message
    const recovered = since !== undefined
    connection.send({ id, type: 'subscribed', subscription: 'q', epoch: 'e', offset: first.version, recovered })
    if (!recovered) connection.send(first)
  }
  const client = connect('http://a', { WebSocket: server.WebSocket, transport: 'websocket' })
  clients.push(client)
  return { server, client }
}

const requests = (server: FakeServer) => server.connections.flatMap(({ received }) => received)

test('has all rows, and applies what has changed', async () => {
  const { server, client } = queryServer(rows(7, 'free', 'team', 'max'))
  const query = client.liveQuery<{ plan: string }>('plans', { since: 3 }, { maxRate: 2 })
  expect(query.rows).toBeUndefined()
  const told: string[][] = []
  query.on('rows', (now) => told.push(now.map(({ plan }) => plan)))
  await query.ready()
  expect(requests(server)).toEqual([{ id: 1, type: 'subscribe', query: 'plans', params: { since: 3 }, maxRate: 2 }])
  const before = query.rows
  server.last.send({
    type: 'changes',
    subscription: 'q',
    version: 9,
    length: 4,
    rows: [
      [1, { plan: 'pro' }],
      [3, { plan: 'new' }],
    ],
  })
  server.last.send({ type: 'changes', subscription: 'q', version: 11, length: 2, rows: [] })
  await settled()
  expect(told).toEqual([
    ['free', 'team', 'max'],
    ['free', 'pro', 'max', 'new'],
    ['free', 'pro'],
  ])
  expect(before).toEqual([{ plan: 'free' }, { plan: 'team' }, { plan: 'max' }])
  expect(query.columns).toEqual(columns)
})

test('goes on from its version', async () => {
  const { server, client } = queryServer(rows(7, 'free'))
  const query = client.liveQuery('plans')
  await query.ready()
  server.last.send({ type: 'heartbeat', offsets: { q: 8 } })
  await settled()
  server.last.break()
  await expect.poll(() => requests(server)).toHaveLength(2)
  expect(requests(server)[1]).toMatchObject({ since: { epoch: 'e', offset: 8 } })
  await settled()
  expect(query.rows).toEqual([{ plan: 'free' }])
})

test('iterates over whole rows, the newest each time', async () => {
  const { server, client } = queryServer(rows(1, 'a'))
  const query = client.liveQuery('plans')
  const iterator = query[Symbol.asyncIterator]()
  expect(await iterator.next()).toEqual({ done: false, value: [{ plan: 'a' }] })
  for (const version of [2, 3, 4]) server.last.send(rows(version, `v${version}`))
  await settled()
  expect(await iterator.next()).toEqual({ done: false, value: [{ plan: 'v4' }] })
  const next = iterator.next()
  query.close()
  expect(await next).toEqual({ done: true, value: undefined })
})

test('changes of rows that are not there are not applied', async () => {
  const { server, client } = queryServer(rows(1, 'a'))
  const query = client.liveQuery('plans')
  await settled()
  const answer = server.answer
  server.answer = (message, connection) => {
    if (message.type === 'subscribe') {
      const { id } = message
      connection.send({ id, type: 'subscribed', subscription: 'q', epoch: 'other', offset: 5, recovered: true })
      connection.send({ type: 'changes', subscription: 'q', version: 6, length: 1, rows: [[0, { plan: 'wrong' }]] })
      server.answer = answer
    }
  }
  server.last.break()
  await expect.poll(() => requests(server).filter(({ type }) => type === 'subscribe')).toHaveLength(3)
  await settled()
  expect(query.rows).toEqual([{ plan: 'a' }])
})

test('one that is refused rejects', async () => {
  const { server, client } = queryServer(rows(1))
  server.answer = ({ id }, connection) =>
    connection.send({ id, type: 'error', code: 'query_not_found', message: 'no', retry: false })
  const query = client.liveQuery('plans')
  await expect(query.ready()).rejects.toMatchObject({ code: 'query_not_found' })
  await expect(query[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'query_not_found' })
})

test('is called over HTTP with its name and parameters', async () => {
  const called: [string, JsonValue][] = []
  const fetch: typeof globalThis.fetch = async (url, init) => {
    called.push([String(url), JSON.parse(String(init?.body))])
    return Response.json({ columns, rows: [{ plan: 'free' }] })
  }
  const client = connect('http://a', { fetch })
  const { rows: found } = await client.runQuery<{ plan: string }>('plans by month', { month: '2026-11' })
  expect(found.map(({ plan }) => plan)).toEqual(['free'])
  expect(called).toEqual([['http://a/v1/queries/plans%20by%20month', { params: { month: '2026-11' } }]])
})
