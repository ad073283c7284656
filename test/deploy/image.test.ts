import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { glob } from 'tinyglobby'
import { describe, expect, test } from 'vitest'
import { root, serviceNamed } from './compose.ts'

interface Instruction {
  readonly name: string
  readonly text: string
}

const read = (file: string): string => readFileSync(resolve(root, file), 'utf8')
const instructions: Instruction[] = read(serviceNamed('millrace').build?.dockerfile ?? '')
  .replace(/\\\n/g, ' ')
  .split('\n')
  .filter((line) => /^[A-Z]+ /.test(line))
  .map((line) => ({ name: line.slice(0, line.indexOf(' ')), text: line.slice(line.indexOf(' ') + 1).trim() }))
const last = instructions.slice(instructions.findLastIndex(({ name }) => name === 'FROM'))
const named = (list: readonly Instruction[], wanted: string) => list.filter(({ name }) => name === wanted)
const textOf = (wanted: string): string | undefined => named(last, wanted).at(-1)?.text

describe('the image', () => {
  test('is made from a fixed version of Node, the one that the package asks for or newer', () => {
    const { engines } = JSON.parse(read('package.json'))
    for (const { text } of named(instructions, 'FROM')) expect(text).toMatch(/^node:20\.\d+\.\d+-bookworm-slim/)
    expect(engines.node).toMatch(/^>=20\./)
  })

  test('runs as a user that is not root', () => {
    expect(textOf('USER')).toBe('node')
    expect(last.findIndex(({ name }) => name === 'USER')).toBeLessThan(
      last.findIndex(({ name }) => name === 'ENTRYPOINT'),
    )
  })

  test('says whether it is alive', () => {
    expect(textOf('HEALTHCHECK')).toContain('/livez')
  })

  test('gets its signals, without a shell between', () => {
    expect(JSON.parse(textOf('ENTRYPOINT') ?? '')).toEqual(['millrace'])
    expect(JSON.parse(textOf('CMD') ?? '')).toEqual(['run'])
    expect(read('deploy/millrace')).toMatch(/^exec node /m)
  })

  test('keeps its data in a volume that its user may write to', () => {
    expect(textOf('VOLUME')).toBe('/data')
    expect(textOf('ENV')).toContain('MILLRACE_DATA=/data')
    expect(named(last, 'RUN').map(({ text }) => text)).toContain('install --directory --owner=node --group=node /data')
    expect(serviceNamed('millrace').volumes).toContain('millrace:/data')
  })

  test('copies only what is there and what the context lets in', async () => {
    const allowed = read('.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1))
    const sources = named(instructions, 'COPY')
      .filter(({ text }) => !text.includes('--from='))
      .flatMap(({ text }) =>
        text
          .split(/\s+/)
          .filter((word) => !word.startsWith('--'))
          .slice(0, -1),
      )
    expect(sources.length).toBeGreaterThan(5)
    for (const source of sources) {
      expect(allowed, source).toContain(source.split('/')[0])
      expect(await glob([source, `${source}/**`], { cwd: root, dot: true, onlyFiles: true }), source).not.toEqual([])
    }
  })

  test('holds everything that the package needs when it is installed', () => {
    const { files } = JSON.parse(read('package.json'))
    const copied = named(last, 'COPY').map(({ text }) => text.split(/\s+/).at(-1))
    for (const folder of files.filter((file: string) => !file.startsWith('!'))) expect(copied).toContain(folder)
  })
})
