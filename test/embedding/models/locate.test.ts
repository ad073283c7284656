import { mkdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { expect, it } from 'vitest'
import { isComplete, locateModel, openModel } from '../../../src/embedding/models/locate.ts'
import { temporaryFolder } from '../support.ts'
import { tinyModel } from './tiny-model.ts'

const shipped = resolve(import.meta.dirname, '../../../models')
const places = { shipped, downloaded: '/data/models' }

it.each([
  ['all-MiniLM-L6-v2', { folder: join(shipped, 'all-MiniLM-L6-v2') }],
  ['./my-model', { folder: resolve('my-model') }],
  ['../owner/name', { folder: resolve('../owner/name') }],
  ['/models/mine', { folder: '/models/mine' }],
  [
    'Xenova/bge-small-en-v1.5',
    {
      folder: '/data/models/Xenova/bge-small-en-v1.5@main',
      name: 'Xenova/bge-small-en-v1.5',
      hub: { owner: 'Xenova', name: 'bge-small-en-v1.5', revision: 'main' },
    },
  ],
  [
    'owner/name@refs/pr/1',
    {
      folder: '/data/models/owner/name@refs%2Fpr%2F1',
      name: 'owner/name@refs/pr/1',
      hub: { owner: 'owner', name: 'name', revision: 'refs/pr/1' },
    },
  ],
])('%s stands for one place', async (model, expected) => {
  expect(await locateModel(model, places)).toEqual(expected)
})

it.each([
  ['all-minilm-l6-v3', /^there is no model "all-minilm-l6-v3", did you mean "all-MiniLM-L6-v2"\?$/],
  ['something-else-entirely', /^there is no model "something-else-entirely"$/],
  ['a/b/c', /^there is no model "a\/b\/c"$/],
  ['owner/../name', /^there is no model/],
  ['owner/name@', /^there is no model/],
  ['https://hub.example/owner/name', /^there is no model/],
])('%s is no name of a model', async (model, message) => {
  await expect(locateModel(model, places)).rejects.toMatchObject({
    code: 'model_unusable',
    message: expect.stringMatching(message),
    hint: 'embedder.model is one of all-MiniLM-L6-v2, a folder that begins with . or /, or owner/name on the hub',
  })
})

it('a model is complete when the weights that are wanted are there', async () => {
  const folder = await tinyModel({ 'onnx/model.onnx': 'tokens.onnx' })
  expect(await isComplete({ folder }, {})).toBe(true)
  expect(await isComplete({ folder }, { dtype: 'q8' })).toBe(false)
  expect(await isComplete({ folder: await temporaryFolder() }, {})).toBe(false)
})

it('a folder is opened as it is set, under its own name', async () => {
  const folder = await tinyModel()
  const options = { ...places, hub: { url: 'http://hub.invalid' }, signal: new AbortController().signal }
  const model = await openModel({ ...options, model: folder, dimension: 4, prefixes: { query: 'q: ' } })
  expect(model).toMatchObject({ dimension: 4, prefixes: { query: 'q: ', passage: '' }, name: folder.split('/').at(-1) })
  const empty = join(await temporaryFolder(), 'mine')
  await mkdir(empty)
  await expect(openModel({ ...options, model: empty })).rejects.toThrow(
    /config\.json cannot be read: there is no such file/,
  )
  await writeFile(join(empty, 'config.json'), '{"hidden_size": 8}')
  await expect(openModel({ ...options, model: empty })).rejects.toThrow(/has no weights: expected one of/)
})
