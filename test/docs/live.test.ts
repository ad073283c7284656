import { expect, onTestFinished, test, vi } from 'vitest'
import { z } from 'zod'
import { Client } from '../../src/client/client.ts'
import { connect } from '../../src/client/index.ts'
import { LiveQuery } from '../../src/client/live-query.ts'
import { Subscription } from '../../src/client/subscription.ts'
import { liveLimits } from '../../src/config/limits-schema.ts'
import { defaultLiveLimits } from '../../src/live/limits.ts'
import { closeCodes } from '../../src/live/protocol.ts'
import { subscribeOptions } from '../../src/live/schemas.ts'
import { startServer } from '../server/harness.ts'
import { codeBlocks, codesIn, named, section, tableRows, textOf } from '../support/documents.ts'

const document = textOf('docs/live.md')

test('every code of an error of the live protocol is told', async () => {
  const told = tableRows(section(document, 'Error codes')).flatMap(([name = '']) => named(name))
  const codes = await codesIn(['src/live/*.ts'])
  codes.delete('overloaded')
  codes.add('invalid_expression')
  for (const code of codes) expect(told).toContain(code)
})

test('every close code is told by number and name', () => {
  const rows = tableRows(section(document, 'Close codes')).map(([code, name]) => [named(name ?? '')[0], Number(code)])
  expect(Object.fromEntries(rows)).toEqual(closeCodes)
})

test('every message and option of the live protocol is told', () => {
  const types = [...textOf('src/live/protocol.ts').matchAll(/readonly type: '([a-z]+)'/g)].map(([, type]) => type)
  const rows = [...tableRows(section(document, 'Client messages')), ...tableRows(section(document, 'Server messages'))]
  const first = rows.flatMap(([name = '']) => named(name))
  const { shape } = z.object({ shape: z.record(z.string(), z.unknown()) }).parse(subscribeOptions)
  expect(types.length).toBeGreaterThan(10)
  expect(new Set(first)).toEqual(new Set([...types, ...Object.keys(shape)]))
})

test('the limits of live clients are told, and the settings have the same defaults', () => {
  const limits = defaultLiveLimits
  const told = tableRows(section(document, 'Limits'))
  const limitOf = (what: string) => told.find(([name = '']) => name.startsWith(what))?.[1]
  const count = (limit: number) => limit.toLocaleString('en')
  expect(limitOf('sessions of a process')).toBe(count(limits.sessions))
  expect(limitOf('subscriptions of a session')).toBe(count(limits.subscriptions))
  expect(limitOf('a message from a client')).toBe(`${limits.frameBytes / 1e6} MB`)
  expect(limitOf('requests of a session')).toBe(`${limits.requestsPerSecond} a second`)
  expect(limitOf('requests that are answered')).toBe(`${limits.requests}, ${limits.requestCharacters / 2 ** 20} MB`)
  expect(limitOf('texts of a session')).toBe(count(limits.embeddings))
  expect(limitOf('different texts')).toBe(count(limits.standingQueries))
  expect(limitOf('frames that are no')).toBe(count(limits.badFrames))
  const waiting = `${count(limits.queuedEvents)} events, ${limits.queuedBytes / 2 ** 20} MB`
  expect(limitOf('what waits')).toBe(waiting)
  expect(told.find(([name]) => name === 'what waits for a slow client')?.[2]).toContain(`${limits.stalledMs / 1000} s`)
  expect(limitOf('time to send a token')).toBe(`${limits.authenticateMs / 1000} s`)
  expect(limitOf('time without a subscription')).toBe(`${limits.idleMs / 60_000} min`)
  expect(limitOf('time without an answer')).toContain(`${limits.heartbeatMs / 1000} `)
  expect(limits).toMatchObject(liveLimits.parse({}))
})

test.each([Client, Subscription, LiveQuery])('every member of the SDK is told: %o', ({ prototype }) => {
  const sdk = section(document, 'The SDK')
  // What streams have for their connection.
  const internal = ['constructor', 'request', 'accept', 'receive', 'advance', 'warn', 'failed', 'release']
  const members = Object.getOwnPropertyNames(prototype).filter(
    (name) => prototype === Client.prototype || !internal.includes(name),
  )
  expect(members.length).toBeGreaterThan(1)
  for (const name of members) if (name !== 'constructor') expect(sdk).toMatch(new RegExp(`\\b${name}\\b`))
})

test('the examples of the SDK run', async () => {
  const harness = await startServer({
    queries: [{ name: 'tickets-by-category', sql: 'SELECT 1', params: {}, tables: [] }],
  })
  onTestFinished(() => harness[Symbol.asyncDispose]())
  const event = { id: 'a', key: null, value: { category: 'billing' }, timestamp: 1 }
  await harness.liveLog.append('tickets', 'lane', [event], [0])
  const clients: Client[] = []
  onTestFinished(() => {
    for (const client of clients) client.close()
  })
  const here: typeof connect = (_address, options) => {
    const client = connect(harness.address, options)
    clients.push(client)
    return client
  }
  const examples = codeBlocks(document.slice(document.indexOf('## The SDK'), document.indexOf('## React')))
    .filter(({ language }) => language === 'js')
    .map(({ text }) => text.replace(/^import .*$/m, ''))
  expect(examples.length).toBeGreaterThan(3)
  const log = vi.fn()
  const fetch = async () => new Response('a token')
  for (const example of examples) {
    const run = new Function('connect', 'millrace', 'console', 'fetch', `return (async () => { ${example} })()`)
    // Those that iterate go on for ever.
    await Promise.race([run(here, here(''), { log, table: log }, fetch), new Promise((done) => setTimeout(done, 300))])
  }
  expect(log).toHaveBeenCalled()
})
