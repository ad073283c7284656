import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { glob } from 'tinyglobby'
import { describe, expect, test } from 'vitest'
import { architectureProblems, importsOf, type Sources } from './support/architecture.ts'

const root = resolve(import.meta.dirname, '..')

async function readSources(): Promise<Sources> {
  const files = await glob(['src/**/*.{ts,cts,tsx}', 'connectors/**/*.ts'], { cwd: root })
  const texts = await Promise.all(
    files.map(async (file) => [file, await readFile(resolve(root, file), 'utf8')] as const),
  )
  return new Map(texts)
}

async function optionalPackages(): Promise<ReadonlySet<string>> {
  const { optionalDependencies } = JSON.parse(await readFile(resolve(root, 'package.json'), 'utf8'))
  return new Set(Object.keys(optionalDependencies))
}

const check = (files: Record<string, string>) =>
  architectureProblems(new Map(Object.entries(files)), new Set(['lmdb', '@lancedb/lancedb']))

test('the sources keep to the layout', async () => {
  const sources = await readSources()
  expect(sources.size).toBeGreaterThan(15)
  expect(architectureProblems(sources, await optionalPackages())).toEqual([])
})

describe('the check', () => {
  test('sees every form of import', () => {
    const text = [
      "import type { A } from './a.ts'",
      "import { B, type C } from './b.ts'",
      "import * as d from 'd'",
      "import './e.ts'",
      "import {\n  F,\n  G,\n} from './f.ts'",
      "export { h } from './h.ts'",
      "export * from './i.ts'",
      "const j = await import('./j.ts')",
      "export const from = 'no import'",
      '/* import x from "./commented.ts" */',
    ].join('\n')
    expect(importsOf(text)).toEqual([
      { specifier: './a.ts', kind: 'type' },
      { specifier: './b.ts', kind: 'value' },
      { specifier: 'd', kind: 'value' },
      { specifier: './e.ts', kind: 'value' },
      { specifier: './f.ts', kind: 'value' },
      { specifier: './h.ts', kind: 'value' },
      { specifier: './i.ts', kind: 'value' },
      { specifier: './j.ts', kind: 'lazy' },
    ])
  })

  test.each([
    ['core imports another part', 'src/core/event.ts', "import { x } from '../engine/lane.ts'"],
    ['a type from the wrong part', 'src/core/event.ts', "import type { X } from '../engine/lane.ts'"],
    ['the engine knows a connector', 'src/engine/run.ts', "import { x } from '../../connectors/lancedb/store.ts'"],
    ['a connector imports a part', 'connectors/sse.ts', "import { x } from '../src/live/hub.ts'"],
    ['a connector imports another', 'connectors/sse.ts', "import { x } from './lancedb/store.ts'"],
    ['a lazy import from the wrong part', 'src/server/app.ts', "const x = await import('../cli/run.ts')"],
    ['the SDK imports more than the protocol', 'src/client/index.ts', "import { x } from '../live/hub.ts'"],
  ])('reports: %s', (_name, file, text) => {
    const files = {
      'src/engine/lane.ts': '',
      'src/live/hub.ts': '',
      'src/cli/run.ts': '',
      'connectors/lancedb/store.ts': '',
      [file]: text,
    }
    expect(check(files)).toEqual([expect.stringContaining(`${file} must not import`)])
  })

  test('lets each part import what it may', () => {
    const files = {
      'src/core/event.ts': "import { z } from 'zod'",
      'src/engine/lane.ts': "import type { E } from '../core/event.ts'",
      'src/live/protocol.ts': '',
      'src/client/index.ts': "import { codes } from '../live/protocol.ts'",
      'src/cli/main.ts': "import { x } from '../engine/lane.ts'\nimport { y } from '../../connectors/index.ts'",
      'connectors/index.ts': "import { x } from './log/source.ts'",
      'connectors/log/source.ts': "import { E } from '../../src/core/event.ts'\nimport { y } from './store.ts'",
      'connectors/log/store.ts': "import type { Database } from 'lmdb'\nconst x = await import('lmdb')",
    }
    expect(check(files)).toEqual([])
  })

  test('keeps the core and the SDK free of packages', () => {
    expect(check({ 'src/core/event.ts': "import { readFile } from 'node:fs'" })).toHaveLength(1)
    expect(check({ 'src/client/index.ts': "import { WebSocket } from 'ws'" })).toHaveLength(1)
  })

  test('wants optional packages loaded when they are needed', () => {
    const problems = check({ 'connectors/lancedb/store.ts': "import { connect } from '@lancedb/lancedb'" })
    expect(problems).toEqual([expect.stringContaining('must load @lancedb/lancedb with import()')])
  })

  test('reports a part that the layout does not name', () => {
    expect(check({ 'src/helpers/x.ts': '' })).toEqual(['src/helpers/x.ts belongs to no part of the layout'])
  })

  test('reports a file that is not there', () => {
    expect(check({ 'src/engine/lane.ts': "import { x } from './gone.ts'" })).toEqual([
      'src/engine/lane.ts imports ./gone.ts, which is not there',
    ])
  })

  test('reports a cycle by its path, and leaves types out of it', () => {
    const files = {
      'src/engine/a.ts': "import { b } from './b.ts'",
      'src/engine/b.ts': "import { c } from './c.ts'",
      'src/engine/c.ts': "import { a } from './a.ts'",
    }
    expect(check(files)).toEqual(['cycle: src/engine/a.ts → src/engine/b.ts → src/engine/c.ts → src/engine/a.ts'])
    expect(check({ ...files, 'src/engine/c.ts': "import type { a } from './a.ts'" })).toEqual([])
  })
})
