import { expect, test } from 'vitest'
import { z } from 'zod'
import { lintAll } from '../../src/config/lint-all.ts'
import { parsePipeline } from '../../src/config/pipeline.ts'
import { createCatalog, defineSink } from '../../src/core/component.ts'
import type { PipelineSpec } from '../../src/core/pipeline.ts'
import { expressions } from './fixture.ts'

const catalog = createCatalog([
  defineSink({
    kind: 'sink',
    name: 'topic',
    summary: '',
    example: '',
    main: 'topic',
    options: z.strictObject({ topic: z.string() }),
    topics: ({ topic }) => [topic],
    create: () => {
      throw new Error('not made in these tests')
    },
  }),
])

async function pipeline(file: string, name: string, from: string, to: string): Promise<PipelineSpec> {
  const text = `name: ${name}\nsource: { topic: ${from} }\nsinks: [topic: ${to}]\n`
  const { spec, problems } = await parsePipeline(text, { file, catalog, expressions })
  if (spec === undefined) throw new Error(JSON.stringify(problems))
  return spec
}

test('two pipelines of one name', async () => {
  const specs = [await pipeline('a.yaml', 'same', 'x', 'y'), await pipeline('b.yaml', 'same', 'p', 'q')]
  expect(lintAll(specs, catalog)).toMatchObject([
    { file: 'b.yaml', line: 1, column: 7, severity: 'error', code: 'duplicate_pipeline' },
  ])
})

test('pipelines that feed themselves, directly or over others', async () => {
  const specs = await Promise.all([
    pipeline('a.yaml', 'a', 'one', 'two'),
    pipeline('b.yaml', 'b', 'two', 'three'),
    pipeline('c.yaml', 'c', 'three', 'one'),
    pipeline('d.yaml', 'd', 'three', 'end'),
    pipeline('e.yaml', 'e', 'self', 'self'),
  ])
  const problems = lintAll(specs, catalog)
  expect(problems.map(({ file, severity, message }) => `${file} ${severity} ${message.split(': ')[1]}`)).toEqual([
    'a.yaml warning a → two → b → three → c → one → a',
    'b.yaml warning b → three → c → one → a → two → b',
    'c.yaml warning c → one → a → two → b → three → c',
    'e.yaml warning e → self → e',
  ])
  expect(problems[0]).toMatchObject({ line: 2, column: 1, code: 'topic_loop' })
})
