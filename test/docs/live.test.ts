import { expect, test } from 'vitest'
import { z } from 'zod'
import { liveLimits } from '../../src/config/limits-schema.ts'
import { defaultLiveLimits } from '../../src/live/limits.ts'
import { closeCodes } from '../../src/live/protocol.ts'
import { subscribeOptions } from '../../src/live/schemas.ts'
import { codesIn, named, section, tableRows, textOf } from '../support/documents.ts'

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
