import { expect, test } from 'vitest'
import { catalog } from '../../src/cli/catalog.ts'
import { named, section, tableRows, textOf } from '../support/documents.ts'

const document = textOf('docs/delivery.md')

test('every sink has its guarantee', () => {
  const rows = tableRows(section(document, 'What is guaranteed'))
  expect(rows.flatMap(([name = '']) => named(name)).toSorted()).toEqual([...catalog.sinks.keys()].toSorted())
})

test('every header of a dead letter is told', () => {
  const written = [...textOf('src/engine/dead-letters.ts').matchAll(/'(millrace-[a-z]+)'/g)].map(([, name]) => name)
  const told = tableRows(section(document, 'Dead letters')).flatMap(([names = '']) => named(names))
  expect(written.length).toBeGreaterThan(5)
  expect(told.toSorted()).toEqual(written.toSorted())
})
