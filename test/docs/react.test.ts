import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { packageRoot } from '../../src/cli/package.ts'
import * as hooks from '../../src/react/index.ts'
import { tempFolder } from '../support/cli.ts'
import { codeBlocks, named, section, tableRows, textOf } from '../support/documents.ts'

const document = textOf('docs/live.md')
const root = packageRoot()

test('every hook is told', () => {
  const told = tableRows(section(document, 'React')).map(([name = '']) => named(name)[0]?.replace(/\(.*/, ''))
  expect(told.toSorted()).toEqual(Object.keys(hooks).toSorted())
})

test('the example and the pages of the tests compile', async () => {
  await using folder = await tempFolder()
  const [example] = codeBlocks(document).filter(({ language }) => language === 'tsx')
  await writeFile(join(folder.path, 'example.tsx'), example?.text ?? '')
  const pages = join(root, 'test/browser/pages')
  const configuration = {
    extends: join(pages, 'tsconfig.json'),
    compilerOptions: {
      typeRoots: [join(root, 'node_modules/@types')],
      paths: {
        'millrace/*': [join(root, 'src/*/index.ts')],
        react: [join(root, 'node_modules/@types/react')],
        'react/*': [join(root, 'node_modules/@types/react/*')],
      },
    },
    include: [folder.path, pages],
  }
  await writeFile(join(folder.path, 'tsconfig.json'), JSON.stringify(configuration))
  const compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc')
  const compile = promisify(execFile)(process.execPath, [compiler, '-p', folder.path])
  const complaints = await compile.then(
    () => '',
    ({ stdout }) => String(stdout),
  )
  expect(complaints).toBe('')
})
