import { expect, it } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { files } from '../../../connectors/files/index.ts'
import { contextFor } from '../../processors/support.ts'
import { FakeIntakeContext } from '../fake-intake-context.ts'
import { Folder } from './support.ts'

const context = contextFor('files')

it('goes by the extension, and compacts only what is read in whole', async () => {
  const compact = async (options: object) => (await files.create(options, context)).topic?.compact
  expect(await compact({ path: 'docs/**/*.md' })).toBe(true)
  expect(await compact({ path: ['a.txt', 'b.md'] })).toBe(true)
  expect(await compact({ path: 'logs/*.log' })).toBe(false)
  expect(await compact({ path: ['a.ndjson', 'b.JSONL'] })).toBe(false)
  expect(await compact({ path: '*.csv' })).toBe(false)
  expect(await compact({ path: '*.csv', format: 'whole' })).toBe(true)
})

it('refuses patterns of several formats without a word which', () => {
  expect(() => files.create({ path: ['a.md', 'b.csv'] }, context)).toThrow(
    'files: the patterns a.md, b.csv mean files of different formats (whole, csv).',
  )
})

it('reads what the options say, and ends when it shall not follow', async () => {
  const folder = await Folder.make({ 'a.csv': 'n;m\n1;2\n', 'sub/b.csv': 'n;m\n3;4\n', '.git/c.csv': 'n;m\n5;6\n' })
  const log = new FakeIntakeContext()
  const options = { path: `${folder.path}/**/*.csv`, ignore: `${folder.path}/sub/**`, delimiter: ';', follow: false }
  const intake = await files.create(options, context)
  await intake.run(log.context(new AbortController().signal))
  expect(log.events().map(({ value }) => value)).toEqual([{ n: '1', m: '2' }])
})

it('has an example and options that an editor can check', () => {
  const { files: example }: { files: unknown } = parse(files.example)
  expect(files.options.parse(example)).toMatchObject({ follow: true })
  expect(z.toJSONSchema(files.options, { io: 'input' })).toMatchObject({ type: 'object' })
  expect(files.options.safeParse({ path: [] }).success).toBe(false)
  expect(files.options.safeParse({ path: 'a', formt: 'csv' }).success).toBe(false)
})
