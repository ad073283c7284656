import { cp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { Fatal } from '../../../src/core/errors.ts'
import { ModelSession } from '../../../src/embedding/local/session.ts'
import { readModel } from '../../../src/embedding/models/model.ts'
import { modelFolder, openEmbedder, temporaryFolder } from '../support.ts'

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
  await expect(ModelSession.load(model)).rejects.toThrow(/model_quantized\.onnx is corrupt/)
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
