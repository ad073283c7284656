import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, cp, readdir, readFile, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { z } from 'zod'
import { call, keysIn, pipelineStatus, rowsIn, sleep, until, vectorsIn } from '../support/api.ts'
import { tempFolder } from '../support/cli.ts'
import type { Benchmark } from './figure.ts'
import { startProduct } from './product.ts'

const searchAnswer = z.object({ matches: z.array(z.object({ fields: z.object({ path: z.string() }) })) })
const asked = 50
const longestMs = 600_000
const leastPackages = 200

interface Package {
  readonly name: string
  readonly description: string
}
/** Asks for each installed package by its own description, and looks where its README stands in the answer. */
export const docsRecall: Benchmark = {
  name: 'docs-recall',
  summary: 'pipelines/docs.yaml over the installed packages: packages found by what they do',
  async run() {
    const project = resolve(import.meta.dirname, '../../..')
    await using folder = await tempFolder()
    await installPackages(join(project, 'test/bench/packages'), folder.path)
    const modules = join(folder.path, 'node_modules')
    await addDocuments(join(project, 'node_modules'), modules)
    const docs = await readFile(join(project, 'pipelines/docs.yaml'), 'utf8')
    const started = performance.now()
    await using product = await startProduct({ 'pipelines/docs.yaml': docs }, { folder: folder.path })
    await settled(product.address)
    const seconds = (performance.now() - started) / 1000
    const chunks = await keysIn(product.address, 'docs.chunks')
    const stored = [await rowsIn(product.address, 'docs'), await vectorsIn(product.address, 'docs')]
    if (stored.some((count) => count !== chunks)) throw new Error(`${chunks} chunks, but ${stored} rows and vectors`)
    const packages = await installedPackages(modules)
    if (packages.length < leastPackages)
      throw new Error(`only ${packages.length} packages have a description and a README`)
    const ranks: number[] = []
    for (const { name, description } of packages) {
      const query = { text: description, k: asked }
      const answer = await call(`${product.address}/v1/collections/docs/search`, searchAnswer, query)
      const found = [...new Set(answer.matches.map(({ fields }) => packageOf(fields.path)))]
      ranks.push(found.indexOf(name))
    }
    const recall = (most: number) => ranks.filter((rank) => rank >= 0 && rank < most).length / ranks.length
    return [
      { name: 'docs: time until everything is searchable', value: seconds, unit: 's' },
      { name: 'docs: chunks in the log, rows, and vectors, each', value: chunks, unit: 'chunks' },
      { name: 'docs: packages asked for', value: packages.length, unit: 'packages', least: leastPackages },
      { name: 'docs: README found first', value: recall(1), unit: 'ratio' },
      { name: 'docs: recall@10', value: recall(10), unit: 'ratio', least: 0.8 },
    ]
  },
}

/** The project is lean: its own packages are too few to search among. */
async function installPackages(from: string, to: string): Promise<void> {
  for (const file of ['package.json', 'package-lock.json']) await copyFile(join(from, file), join(to, file))
  const flags = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel', 'error']
  await promisify(execFile)('npm', flags, { cwd: to })
}

/** Adds what can be read of every package of one folder to another that does not have it. */
async function addDocuments(from: string, to: string): Promise<void> {
  for (const name of await packageNames(from)) {
    if (existsSync(join(to, name))) continue
    const readable = async (path: string) => {
      const isFolder = (await stat(path)).isDirectory()
      return isFolder || path.endsWith('.md') || path.endsWith('package.json')
    }
    await cp(join(from, name), join(to, name), { recursive: true, filter: readable })
  }
}

/** Resolves once nothing has been read for a while and everything that was is committed. */
async function settled(address: string): Promise<void> {
  let before = -1
  await until(async () => {
    await sleep(2_000)
    const { state, reason, lag, totals } = await call(`${address}/v1/pipelines/docs`, pipelineStatus)
    if (state === 'failed') throw new Error(reason)
    const still = totals.read > 0 && totals.read === before
    before = totals.read
    return still && lag === 0
  }, longestMs)
}

/** Packages that have both a description of at least three words and a README. */
async function installedPackages(folder: string): Promise<Package[]> {
  const packages: Package[] = []
  for (const name of await packageNames(folder)) {
    const manifest = join(folder, name, 'package.json')
    if (!existsSync(manifest)) continue
    const { description } = JSON.parse(await readFile(manifest, 'utf8')) as { description?: string }
    const files = await readdir(join(folder, name))
    const documented = files.some((file) => /^readme\.md$/i.test(file))
    if (documented && description !== undefined && description.split(/\s+/).length >= 3)
      packages.push({ name, description })
  }
  return packages
}

/** With scopes: `@scope/name`. */
async function packageNames(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter((name) => !name.startsWith('.'))
  const scopes = names.filter((name) => name.startsWith('@'))
  const scoped = await Promise.all(
    scopes.map(async (scope) => (await readdir(join(folder, scope))).map((name) => `${scope}/${name}`)),
  )
  return [...names.filter((name) => !name.startsWith('@')), ...scoped.flat()]
}

function packageOf(path: string): string {
  const [, first = '', second = ''] = /node_modules\/([^/]+)(?:\/([^/]+))?/.exec(path) ?? []
  return first.startsWith('@') ? `${first}/${second}` : first
}
