import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { call, keysIn, rowsIn, until, vectorsIn } from '../support/api.ts'
import { startCli, tempFolder } from '../support/cli.ts'

const matches = z.object({ matches: z.array(z.object({ fields: z.object({ path: z.string(), text: z.string() }) })) })
const section = (title: string, text: string) => `## ${title}\n\n${text.repeat(12)}\n\n`

describe('pipelines/docs.yaml', () => {
  it('has as many chunks in the log as rows and vectors, also after files have changed and vanished', async () => {
    await using folder = await tempFolder()
    const write = async (path: string, text: string) => {
      await mkdir(dirname(join(folder.path, path)), { recursive: true })
      await writeFile(join(folder.path, path), text)
    }
    await mkdir(join(folder.path, 'pipelines'))
    await copyFile(resolve('pipelines/docs.yaml'), join(folder.path, 'pipelines/docs.yaml'))
    const long = section('Knots', 'A bowline does not slip. ') + section('Sails', 'A reefed sail is a small sail. ')
    await write('boats.md', `# Boats\n\n${long}`)
    await write('node_modules/args/README.md', '# args\n\nParses the arguments of a command line.')
    await write('node_modules/@clocks/sun/README.md', '# sun\n\nTells the time by the shadow of a stick.')
    await using millrace = await startCli(['run'], { cwd: folder.path })
    const { address } = millrace
    const counts = async () => [
      await keysIn(address, 'docs.chunks'),
      await rowsIn(address, 'docs'),
      await vectorsIn(address, 'docs'),
    ]
    const settleAt = (chunks: number) => until(async () => (await counts()).every((count) => count === chunks))
    const search = async (text: string) => {
      const found = await call(`${address}/v1/collections/docs/search`, matches, { text, k: 3 })
      return found.matches.map(({ fields }) => fields)
    }

    await until(async () => (await rowsIn(address, 'docs').catch(() => 0)) > 2)
    const chunks = await rowsIn(address, 'docs')
    await settleAt(chunks)
    expect((await search('read command line options'))[0]?.path).toBe('node_modules/args/README.md')
    expect((await search('sundial'))[0]?.path).toBe('node_modules/@clocks/sun/README.md')

    await write('boats.md', '# Boats\n\nA boat needs an anchor.')
    await rm(join(folder.path, 'node_modules/@clocks'), { recursive: true })
    await settleAt(2)
    expect((await search('what holds a ship in place'))[0]?.text).toContain('anchor')
    expect((await search('sundial')).map(({ path }) => path)).not.toContain('node_modules/@clocks/sun/README.md')
  })
})
