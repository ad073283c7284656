import { describe, expect, it, onTestFinished } from 'vitest'
import { ModelSession } from '../../../src/embedding/local/session.ts'
import { TextTokenizer } from '../../../src/embedding/local/tokenizer.ts'
import { type ModelOptions, readModel } from '../../../src/embedding/models/model.ts'
import { cls, sep, tinyModel, tokenVector, unit, width } from '../models/tiny-model.ts'
import { cosine, modelFolder } from '../support.ts'

async function open(folder: string, options: ModelOptions = {}): Promise<ModelSession> {
  const session = await ModelSession.load(await readModel(folder, options))
  onTestFinished(() => session.close())
  return session
}

/** What one of the tiny models makes of each of the rows, and what it should be. */
async function compare(session: ModelSession, expected: ReadonlyMap<readonly number[], readonly number[]>) {
  const vectors = await session.run([...expected.keys()].map((ids) => Int32Array.from(ids)))
  const wanted = [...expected.values()].flat()
  expect(vectors).toHaveLength(wanted.length)
  for (const [index, value] of vectors.entries()) expect(value).toBeCloseTo(wanted[index] ?? Number.NaN, 5)
}

function meanOf(ids: readonly number[], vectorOf: (id: number, position: number) => readonly number[]): number[] {
  const vectors = ids.map(vectorOf)
  return unit(Array.from({ length: width }, (_, column) => vectors.reduce((sum, row) => sum + (row[column] ?? 0), 0)))
}

const rows = [
  [cls, 5, 6, 7, sep],
  [cls, 9, sep],
  [cls, 30, 4, sep],
]

describe('a run', () => {
  it('answers the rows in their order, of length 1, whatever they are padded to', async () => {
    const session = await open(await tinyModel())
    await compare(session, new Map(rows.map((ids) => [ids, meanOf(ids, (id) => tokenVector(id))])))
    expect(await session.run([])).toHaveLength(0)
  })

  it.each([
    ['cls', 'pooling_mode_cls_token', (ids: readonly number[]) => unit(tokenVector(ids[0] ?? 0))],
    ['last', 'pooling_mode_lasttoken', (ids: readonly number[]) => unit(tokenVector(ids.at(-1) ?? 0))],
    [
      'max',
      'pooling_mode_max_tokens',
      (ids: readonly number[]) =>
        unit(tokenVector(0).map((_, c) => Math.max(...ids.map((id) => tokenVector(id)[c] ?? 0)))),
    ],
  ])('pools as its configuration says: %s', async (_, flag, poolOf) => {
    const folder = await tinyModel(undefined, {
      '1_Pooling/config.json': { word_embedding_dimension: width, pooling_mode_mean_tokens: false, [flag]: true },
    })
    // The last row ends in another token than the rest, which padding must not hide.
    const all = [...rows, [cls, 11, 12]]
    await compare(await open(folder), new Map(all.map((ids) => [ids, poolOf(ids)])))
  })

  it('keeps the first numbers of each vector, and brings these to length 1', async () => {
    const session = await open(await tinyModel(), { dimension: 3 })
    const first = (ids: readonly number[]) => unit(meanOf(ids, (id) => tokenVector(id)).slice(0, 3))
    await compare(session, new Map(rows.map((ids) => [ids, first(ids)])))
  })

  it('gives a graph every input that it wants, and takes its output by shape', async () => {
    const session = await open(await tinyModel({ 'onnx/model.onnx': 'typed.onnx' }))
    const places = (id: number, position: number) => {
      const word = tokenVector(id)
      return word.map((value, c) => value + Math.sin(1001 + c) + Math.sin(2001 + position * width + c))
    }
    await compare(session, new Map(rows.map((ids) => [ids, meanOf(ids, places)])))
  })

  it('takes the vector that the graph has pooled itself, layers and all', async () => {
    const folder = await tinyModel(
      { 'onnx/model.onnx': 'whole.onnx' },
      {
        'modules.json': [
          { path: '', type: 'sentence_transformers.models.Transformer' },
          { path: '1_Pooling', type: 'sentence_transformers.models.Pooling' },
          { path: '2_Dense', type: 'sentence_transformers.models.Dense' },
        ],
        '2_Dense/config.json': { in_features: width, out_features: 4 },
      },
    )
    const layered = (ids: readonly number[]) => {
      const sum = tokenVector(0).map((_, c) => ids.reduce((total, id) => total + (tokenVector(id)[c] ?? 0), 0))
      return unit(
        [0, 1, 2, 3].map((out) => sum.reduce((total, value, c) => total + value * Math.sin(3001 + c * 4 + out), 0)),
      )
    }
    await compare(await open(folder), new Map(rows.map((ids) => [ids, layered(ids)])))
    const shorter = await open(folder, { dimension: 2 })
    await compare(shorter, new Map(rows.map((ids) => [ids, unit(layered(ids).slice(0, 2))])))
  })

  it('finds weights that lie in a file of their own', async () => {
    const session = await open(
      await tinyModel({ 'onnx/model.onnx': 'external.onnx', 'onnx/model.onnx_data': 'external.onnx_data' }),
    )
    await compare(session, new Map(rows.map((ids) => [ids, meanOf(ids, (id) => tokenVector(id))])))
  })

  it('gives a text of the shipped model the same vector alone and among others', async () => {
    const session = await open(modelFolder)
    const tokenizer = await TextTokenizer.load(await readModel(modelFolder))
    const texts = ['the invoice was paid twice', 'a customer asks for a refund of the last three invoices', 'hello']
    const ids = texts.map((text) => tokenizer.tokenize(text).ids)
    const together = await session.run(ids)
    for (const [index, row] of ids.entries()) {
      const alone = await session.run([row])
      expect(cosine(alone, together.slice(index * 384, (index + 1) * 384))).toBeGreaterThan(0.9999)
      expect(Math.hypot(...alone)).toBeCloseTo(1, 6)
    }
  })
})

describe('a model that cannot be used', () => {
  it.each([
    ['half.onnx', /"last_hidden_state" of the model .* is not of type float32. Choose another embedder.dtype/],
    ['image.onnx', /wants an input "pixel_values": it is not for texts alone/],
    ['scores.onnx', /no vectors of tokens among its outputs \(logits\)/],
    ['external.onnx', /cannot be loaded: .*model\.onnx_data/],
    ['make.py', /cannot be loaded/],
  ])('says why: %s', async (weights, message) => {
    const folder = await tinyModel({ 'onnx/model.onnx': weights })
    const run = async () => (await open(folder)).run([Int32Array.of(cls, sep)])
    await expect(run()).rejects.toMatchObject({ code: 'model_unusable', message: expect.stringMatching(message) })
  })

  it('says what its configuration claims, where its vectors are others', async () => {
    const folder = await tinyModel(undefined, { 'config.json': { hidden_size: 6 } })
    await expect(open(folder)).rejects.toThrow(/makes vectors of 8 numbers, its config.json says 6/)
  })

  it('says which layers it lacks', async () => {
    const folder = await tinyModel(undefined, {
      'modules.json': [{ path: '2_Dense', type: 'sentence_transformers.models.Dense' }],
      '2_Dense/config.json': { out_features: 4 },
    })
    await expect(open(folder)).rejects.toThrow(/needs layers behind its pooling \(Dense\) that its weights do not have/)
  })
})
