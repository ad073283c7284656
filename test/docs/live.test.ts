import { expect, test } from 'vitest'
import { z } from 'zod'
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
