import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { findQueryFiles, lintQueries, readQueries } from '../../src/cli/query-files.ts'
import { loadRuntime } from '../../src/config/runtime.ts'
import { tempFolder } from '../support/cli.ts'
import { recordingTerminal } from '../support/terminal.ts'

async function project(files: Readonly<Record<string, string>>) {
  const folder = await tempFolder()
  await mkdir(join(folder.path, 'queries'))
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder.path, 'queries', name), text)
  return { folder, runtime: await loadRuntime({ env: {}, cwd: folder.path }) }
}

const good = 'sql: SELECT count() FROM t\n'

test('queries are the files of the runtime', async () => {
  const { folder, runtime } = await project({ 'b.yaml': good, 'a.yaml': `name: first\n${good}`, 'note.txt': 'x' })
  await using _ = folder
  const queries = await readQueries(runtime, folder.path, recordingTerminal())
  expect(queries.map(({ name }) => name)).toEqual(['first', 'b'])
})

test('two of one name are an error, and the others are good', async () => {
  const { folder, runtime } = await project({
    'a.yaml': `description: x\nname: c\n${good}`,
    'b.yaml': good,
    'c.yaml': good,
  })
  await using _ = folder
  const { queries, problems } = await lintQueries(await findQueryFiles(runtime), folder.path)
  expect(queries.map(({ name }) => name)).toEqual(['c', 'b'])
  expect(problems).toMatchObject([{ file: 'queries/c.yaml', line: 1, code: 'query_exists' }])
  await expect(readQueries(runtime, folder.path, recordingTerminal())).rejects.toMatchObject({
    code: 'invalid_query_file',
    message: 'a query file has an error',
  })
})
