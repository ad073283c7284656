import { z } from 'zod'
import { type ParsedPipeline, parsePipeline } from '../../src/config/pipeline.ts'
import { createCatalog, defineIntake, defineProcessor, defineSink } from '../../src/core/component.ts'
import type { Expressions } from '../../src/core/expression.ts'
import type { Serde } from '../../src/core/serde.ts'
import type { Shape } from '../../src/core/shape.ts'
import { duration } from '../../src/core/units.ts'

const unused = () => {
  throw new Error('not made in these tests')
}

/** Components with every kind of option, small enough to see through. */
export const catalog = createCatalog([
  defineIntake({
    kind: 'source',
    name: 'files',
    summary: 'Reads files.',
    example: 'files: "*.md"',
    main: 'include',
    options: z.strictObject({ include: z.union([z.string(), z.array(z.string())]).describe('Globs.') }),
    create: unused,
  }),
  defineProcessor({
    kind: 'processor',
    name: 'filter',
    summary: 'Drops events.',
    example: 'filter: value.n > 1',
    main: 'where',
    options: z.strictObject({ where: z.string() }),
    references: ({ where }) => [{ kind: 'expression', path: ['where'], text: where, returns: 'bool' }],
    create: unused,
  }),
  defineProcessor({
    kind: 'processor',
    name: 'map',
    summary: 'Makes a new value.',
    example: 'map: { a: value.b }',
    options: z.record(z.string(), z.string()),
    references: (fields) =>
      Object.entries(fields).map(([name, text]) => ({ kind: 'expression', path: [name], text, returns: 'any' })),
    shape: (fields, input) => ({ fields: new Set(Object.keys(fields)), vectors: input.vectors }),
    create: unused,
  }),
  defineProcessor({
    kind: 'processor',
    name: 'embed',
    summary: 'Makes vectors.',
    example: 'embed: { text: value.a, as: meaning }',
    main: 'text',
    options: z.strictObject({
      text: z.string().describe('An expression.'),
      as: z.string().default('meaning'),
      timeout: duration().prefault('10s'),
      batch: z.int().min(1).max(64).optional(),
    }),
    references: ({ text }) => [{ kind: 'expression', path: ['text'], text, returns: 'string' }],
    shape: ({ as }, input): Shape => ({ fields: input.fields, vectors: new Set([...input.vectors, as]) }),
    create: unused,
  }),
  defineSink({
    kind: 'sink',
    name: 'live',
    summary: 'Pushes.',
    example: 'live: tickets',
    main: 'channel',
    options: z.strictObject({ channel: z.string(), fields: z.array(z.string()).optional() }),
    references: ({ fields = [] }) => fields.map((name, index) => ({ kind: 'field', path: ['fields', index], name })),
    create: unused,
  }),
  defineSink({
    kind: 'sink',
    name: 'vectors',
    summary: 'Stores vectors.',
    example: 'vectors: { collection: a, vector: meaning }',
    main: 'collection',
    options: z.strictObject({
      collection: z.string(),
      vector: z.string(),
      mode: z.enum(['append', 'upsert']).optional(),
    }),
    references: ({ vector }) => [{ kind: 'vector', path: ['vector'], name: vector }],
    create: unused,
  }),
])

/** Just enough of an expression language: every `!` is a syntax error, and `value.x` must be a known field. */
export const expressions: Expressions = {
  compile: unused,
  check: (text, _returns, { fields }) => [
    ...[...text.matchAll(/!/g)].map(({ index }) => ({ message: 'unexpected "!"', at: index })),
    ...[...text.matchAll(/value\.(\w+)/g)].flatMap(({ index, 1: name = '' }) =>
      fields === undefined || fields.has(name) ? [] : [{ message: `no field "${name}"`, at: index + 6 }],
    ),
  ],
}

const serde: Serde = {
  codec: async () => ({
    format: 'json',
    fields: new Set(['subject', 'body', 'customer']),
    schema: undefined,
    decode: unused,
    encode: unused,
    validate: () => [],
  }),
}

export function parse(text: string): Promise<ParsedPipeline> {
  return parsePipeline(text, { file: 'p.yaml', catalog, expressions, serde })
}

/** A pipeline with something of everything. */
export const valid = `name: tickets
source:
  topic: support.tickets
  start: latest
id: value.customer
processors:
  - filter: value.body
  - embed: { text: value.body, timeout: 2s }
  - map:
      a: value.subject
  - filter: value.a
sinks:
  - live: tickets
  - vectors: { collection: c, vector: meaning }
  - live: { channel: other, fields: [a] }
block: { events: 5, age: 250ms, bytes: 1KB }
tests:
  - name: nothing
    given: [{ value: { body: x } }, { key: k, value: null }]
    expect: { live.tickets: [], dlq: [] }
`
