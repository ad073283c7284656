import { cp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Fatal } from '../../../src/core/errors.ts'
import { ModelSession } from '../../../src/embedding/local/session.ts'
import { readModel } from '../../../src/embedding/models/model.ts'
import { modelFolder, openEmbedder, temporaryFolder } from '../support.ts'
import { tinyModel, width } from './tiny-model.ts'

async function copyOfModel(): Promise<string> {
  const folder = await temporaryFolder()
  await cp(modelFolder, folder, { recursive: true })
  return folder
}

async function damage(path: string): Promise<void> {
  const content = await readFile(path)
  content[content.length >> 1] = (content[content.length >> 1] ?? 0) ^ 1
  await writeFile(path, content)
}

it.each(['onnx/model_quantized.onnx', 'tokenizer.json'])(
  'a damaged %s is found at once, with both checksums',
  async (name) => {
    const folder = await copyOfModel()
    const sums = await readFile(join(folder, 'SHA256SUMS'), 'utf8')
    const expected = sums
      .split('\n')
      .find((line) => line.endsWith(name))
      ?.slice(0, 64)
    await damage(join(folder, name))
    const failure: unknown = await readModel(folder).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(Fatal)
    expect(failure).toMatchObject({ code: 'model_unusable' })
    const message = failure instanceof Error ? failure.message : ''
    expect(message).toContain(join(folder, name))
    expect(message).toContain(`expected ${expected}`)
    expect(message).toMatch(/its SHA-256 is [0-9a-f]{64}/)
    expect(message).toContain('Restore the file')
  },
)

it('a file that is damaged after it was looked at stops the embedder', async () => {
  const folder = await copyOfModel()
  const model = await readModel(folder)
  await damage(model.weights.path)
  await expect(ModelSession.load(model)).rejects.toThrow(/model_quantized\.onnx has changed/)
})

it('a damaged configuration is found at once', async () => {
  const folder = await copyOfModel()
  await damage(join(folder, 'config.json'))
  await expect(readModel(folder)).rejects.toMatchObject({ code: 'model_unusable' })
})

it('weights that are none are named, when no checksum tells it before', async () => {
  const folder = await copyOfModel()
  await rm(join(folder, 'SHA256SUMS'))
  await writeFile(join(folder, 'onnx/model_quantized.onnx'), 'no model')
  const embedder = await openEmbedder({ model: folder })
  await expect(embedder.embed(['a text'])).rejects.toThrow(/model_quantized\.onnx cannot be loaded/)
})

it.each([
  ['onnx', /has no weights: expected one of onnx\/model_quantized\.onnx/],
  ['config.json', /config\.json cannot be read: .*Check the embedder's model folder/],
])('a model without its %s says so', async (name, message) => {
  const folder = await copyOfModel()
  await rm(join(folder, name), { recursive: true })
  await expect(readModel(folder)).rejects.toThrow(message)
})

it('the fingerprint is that of what makes the vectors, wherever the folder lies', async () => {
  const folder = await copyOfModel()
  await rm(join(folder, 'SHA256SUMS'))
  const { fingerprint } = await readModel(modelFolder)
  expect((await readModel(folder)).fingerprint).toBe(fingerprint)
  await writeFile(join(folder, 'sentence_bert_config.json'), '{"max_seq_length":128}')
  const shorter = await readModel(folder)
  expect(shorter.maxTokens).toBe(128)
  expect(shorter.fingerprint).not.toBe(fingerprint)
})

it('the fingerprint of the shipped model stays what it is, for collections have it', async () => {
  expect((await readModel(modelFolder)).fingerprint).toBe('a376129ff2402367532ae7c207ca845a')
})

it('everything that changes the vectors changes the fingerprint', async () => {
  const weights = { 'onnx/model.onnx': 'tokens.onnx', 'onnx/model_quantized.onnx': 'cosine.onnx' }
  const plain = await tinyModel(weights)
  const external = { 'onnx/model.onnx': 'external.onnx', 'onnx/model.onnx_data': 'external.onnx_data' }
  const models = [
    await readModel(plain),
    await readModel(plain, { dtype: 'fp32' }),
    await readModel(plain, { dimension: 4 }),
    await readModel(plain, { prefixes: { query: 'q: ' } }),
    await readModel(plain, { prefixes: { passage: 'q: ' } }),
    await readModel(await tinyModel(weights, { '1_Pooling/config.json': { pooling_mode: 'cls' } })),
    await readModel(await tinyModel(weights, { 'tokenizer_config.json': { model_max_length: 11 } })),
    await readModel(await tinyModel(external)),
    await readModel(await tinyModel({ ...external, 'onnx/model.onnx_data': 'tokens.onnx' })),
  ]
  expect(new Set(models.map(({ fingerprint }) => fingerprint)).size).toBe(models.length)
  expect((await readModel(await tinyModel(weights))).fingerprint).toBe(models[0]?.fingerprint)
})

describe('the weights', () => {
  const all = {
    'onnx/model.onnx': 'tokens.onnx',
    'onnx/model_quantized.onnx': 'cosine.onnx',
    'onnx/model_q4f16.onnx': 'half.onnx',
    'model_int8.onnx': 'typed.onnx',
  }

  it.each([
    ['auto', 'onnx/model_quantized.onnx'],
    ['q8', 'onnx/model_quantized.onnx'],
    ['fp32', 'onnx/model.onnx'],
    ['q4f16', 'onnx/model_q4f16.onnx'],
    ['int8', 'model_int8.onnx'],
  ] as const)('of dtype %s are %s', async (dtype, name) => {
    const folder = await tinyModel(all)
    expect((await readModel(folder, { dtype })).weights.path).toBe(join(folder, name))
  })

  it('are the full ones where none are quantised', async () => {
    const folder = await tinyModel({ 'model.onnx': 'tokens.onnx' })
    expect((await readModel(folder)).weights.path).toBe(join(folder, 'model.onnx'))
  })

  it('that are not there are named, with those that are', async () => {
    const folder = await tinyModel(all)
    await expect(readModel(folder, { dtype: 'bnb4' })).rejects.toThrow(
      /no weights of the dtype bnb4: expected one of onnx\/model_bnb4\.onnx, model_bnb4\.onnx\. It has fp32, q8, int8, q4f16: set/,
    )
  })
})

describe('the dimension', () => {
  it('can be shortened', async () => {
    expect(await readModel(await tinyModel(), { dimension: 3 })).toMatchObject({ dimension: 3, outputWidth: width })
  })

  it('cannot grow', async () => {
    const failure = readModel(await tinyModel(), { dimension: width + 1 })
    await expect(failure).rejects.toMatchObject({
      code: 'model_unusable',
      message: expect.stringMatching(/embedder\.dimension is 9, but the vectors of the model .* have 8 numbers/),
    })
  })
})

it('prefixes that are set outrank those of the model, one by one', async () => {
  const folder = await tinyModel(undefined, {
    'config_sentence_transformers.json': { prompts: { query: 'q: ', document: 'd: ' } },
  })
  expect((await readModel(folder)).prefixes).toEqual({ query: 'q: ', passage: 'd: ' })
  expect((await readModel(folder, { prefixes: { passage: '' } })).prefixes).toEqual({ query: 'q: ', passage: '' })
})
