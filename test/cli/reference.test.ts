import { expect, test } from 'vitest'
import { z } from 'zod'
import { optionReferences } from '../../src/cli/reference.ts'
import { duration } from '../../src/core/units.ts'

test('tells name, type, default and description of every option, from the schema alone', () => {
  const schema = z.strictObject({
    text: z.string().describe('What to embed.'),
    mode: z.enum(['append', 'upsert']).default('append'),
    labels: z.record(z.string(), z.string()).optional(),
    columns: z.array(z.string()),
    every: duration().prefault('1s').describe('How often.'),
    count: z.int().optional(),
    topic: z.union([z.string(), z.array(z.string())]),
  })
  expect(optionReferences(schema)).toEqual([
    { name: 'text', type: 'string', required: true, default: undefined, description: 'What to embed.' },
    { name: 'mode', type: 'append | upsert', required: false, default: '"append"', description: '' },
    { name: 'labels', type: 'mapping', required: false, default: undefined, description: '' },
    { name: 'columns', type: 'list of string', required: true, default: undefined, description: '' },
    { name: 'every', type: 'string or number', required: false, default: '"1s"', description: 'How often.' },
    { name: 'count', type: 'whole number', required: false, default: undefined, description: '' },
    { name: 'topic', type: 'string or list of string', required: true, default: undefined, description: '' },
  ])
})

test('a free mapping has one entry that tells what stands under every name', () => {
  const schema = z.record(z.string(), z.string()).describe('The fields, each an expression.')
  expect(optionReferences(schema)).toEqual([
    { name: '<name>', type: 'any', required: true, default: undefined, description: 'The fields, each an expression.' },
  ])
  expect(optionReferences(z.strictObject({}))).toEqual([])
})
