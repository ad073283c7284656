import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { glob } from 'tinyglobby'
import { expect, test } from 'vitest'
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
  expect(specs.map(({ name }) => name)).toEqual(['docs', 'support-tickets', 'support-tickets-generator'])
  expect(lintAll(specs, catalog)).toEqual([])
})
