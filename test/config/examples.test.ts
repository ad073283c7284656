import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { glob } from 'tinyglobby'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { randomFor } from '../../connectors/generate/random.ts'
import { compile, template } from '../../connectors/generate/template.ts'
import { catalog } from '../../src/cli/catalog.ts'
import { lintAll } from '../../src/config/lint-all.ts'
import { parsePipeline } from '../../src/config/pipeline.ts'
import { formatProblem } from '../../src/config/problem.ts'
import { createExpressions } from '../../src/expressions/index.ts'
import { createSerde } from '../../src/serde/index.ts'

const root = resolve(import.meta.dirname, '../..')

test('the pipelines of this project are without a problem, each alone and all together', async () => {
  const expressions = createExpressions()
  const serde = createSerde({ folder: resolve(root, 'schemas') })
  const files = (await glob('pipelines/*.yaml', { cwd: root })).toSorted()
  const parsed = await Promise.all(
    files.map(async (file) => {
      const text = await readFile(resolve(root, file), 'utf8')
      const { spec, problems } = await parsePipeline(text, { file, catalog, expressions, serde })
      expect(problems.map((problem) => formatProblem(problem, text)).join('\n')).toBe('')
      return spec
    }),
  )
  const specs = parsed.filter((spec) => spec !== undefined)
  expect(specs.map(({ name }) => name).toSorted()).toEqual(['docs', 'support-tickets', 'support-tickets-generator'])
  expect(lintAll(specs, catalog)).toEqual([])
})

test('the generated tickets fit the schema of their topic, differ, repeat, and are empty now and then', async () => {
  const text = await readFile(resolve(root, 'pipelines/support-tickets-generator.yaml'), 'utf8')
  const { value, seed } = z
    .object({ source: z.object({ generate: z.object({ value: template, seed: z.number() }) }) })
    .parse(parse(text)).source.generate
  const make = compile(value)
  const codec = await createSerde({ folder: resolve(root, 'schemas') }).codec('support.tickets')
  const tickets = Array.from({ length: 1_000 }, (_, index) => make(randomFor(seed, index), index))
  expect(tickets.flatMap((ticket) => codec.validate(ticket))).toEqual([])
  const bodies = tickets.map((ticket) => z.object({ body: z.string() }).parse(ticket).body)
  const distinct = new Set(bodies).size
  expect(distinct).toBeGreaterThan(60)
  expect(distinct).toBeLessThan(500)
  expect(bodies.filter((body) => body === '').length).toBeGreaterThan(20)
  expect(bodies.filter((body) => body.includes('@example.')).length).toBeGreaterThan(20)
})
