import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { glob } from 'tinyglobby'
import { describe, expect, test } from 'vitest'
import { parse as parseYaml } from 'yaml'
import { schemaText } from '../../src/cli/schema-file.ts'
import { pipelineJsonSchema } from '../../src/config/json-schema.ts'
import { catalog } from './fixture.ts'

const root = resolve(import.meta.dirname, '../..')
const compile = (schema: object) => new Ajv2020({ strict: false }).compile(schema)

describe('the JSON Schema for editors', () => {
  const accepts = compile(pipelineJsonSchema(catalog))
  const file = (processors: unknown, sinks: unknown = [{ live: 'x' }]) => ({
    name: 'a',
    source: { topic: 't' },
    processors,
    sinks,
  })

  test.each<[what: string, value: unknown, fits: boolean]>([
    ['full form', file([{ embed: { text: 'a', timeout: '2s' } }]), true],
    ['short form', file([{ embed: 'a' }]), true],
    ['a short form that lacks an option', file([], [{ vectors: 'c' }]), false],
    ['an unknown option', file([{ embed: { text: 'a', timeuot: '2s' } }]), false],
    ['a bad duration', file([{ embed: { text: 'a', timeout: 'soon' } }]), false],
    ['an unknown component', file([{ embd: 'a' }]), false],
    ['two components in one', file([{ embed: 'a', filter: 'b' }]), false],
    ['a sink among processors', file([{ live: 'a' }]), false],
    ['no sinks', file([], []), false],
    ['an intake', { ...file([]), source: { files: ['a', 'b'] } }, true],
    ['an unknown top key', { ...file([]), sink: [] }, false],
    ['no processors', { name: 'a', source: { topic: ['a', 'b'] }, sinks: [{ live: 'x' }] }, true],
  ])('%s', (_what, value, fits) => {
    expect(accepts(value)).toBe(fits)
  })

  test('says what each option is for', () => {
    expect(JSON.stringify(pipelineJsonSchema(catalog))).toContain('"description":"An expression."')
  })
})

describe('schemas/pipeline.schema.json', () => {
  test('is what the components say; written anew by `npx vitest run test/config/json-schema.test.ts -u`', async () => {
    await expect(await schemaText()).toMatchFileSnapshot(resolve(root, 'schemas/pipeline.schema.json'))
  })

  test('accepts every pipeline of this project', async () => {
    const accepts = compile(JSON.parse(await schemaText()))
    const files = await glob('pipelines/*.yaml', { cwd: root })
    expect(files.length).toBeGreaterThan(2)
    for (const path of files) {
      const fits = accepts(parseYaml(await readFile(resolve(root, path), 'utf8')))
      expect(fits, `${path}: ${JSON.stringify(accepts.errors, null, 1)}`).toBe(true)
    }
  })
})
