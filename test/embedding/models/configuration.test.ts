import { describe, expect, it } from 'vitest'
import { readConfiguration } from '../../../src/embedding/models/configuration.ts'
import { familyOf } from '../../../src/embedding/models/families.ts'
import { tinyModel, width } from './tiny-model.ts'

const config = { model_type: 'bert', hidden_size: width, max_position_embeddings: 16, pad_token_id: 0 }

async function read(changed: Readonly<Record<string, unknown>>, name = 'some-model') {
  return readConfiguration(await tinyModel({}, changed), name, new Map())
}

describe('pooling', () => {
  it.each([
    [{ pooling_mode_mean_tokens: true }, 'mean'],
    [{ pooling_mode_mean_tokens: false, pooling_mode_cls_token: true }, 'cls'],
    [{ pooling_mode_lasttoken: true }, 'last'],
    [{ pooling_mode_max_tokens: true }, 'max'],
    [{ pooling_mode_weightedmean_tokens: true }, 'weightedmean'],
    [{ pooling_mode_mean_sqrt_len_tokens: true }, 'mean'],
    [{ pooling_mode: 'lasttoken' }, 'last'],
    [{}, 'mean'],
  ])('%o is %s', async (pooling, expected) => {
    expect((await read({ '1_Pooling/config.json': pooling })).pooling).toBe(expected)
  })

  it.each([
    [{ pooling_mode_cls_token: true, pooling_mode_mean_tokens: true }, /pools by cls and mean, which is not supported/],
    [
      { pooling_mode: 'attention' },
      /pools by attention, which is not supported: one of mean, cls, last, max, weightedmean is/,
    ],
  ])('%o is refused', async (pooling, message) => {
    await expect(read({ '1_Pooling/config.json': pooling })).rejects.toMatchObject({
      code: 'model_unusable',
      message: expect.stringMatching(message),
    })
  })

  it('is read from where modules.json says it is', async () => {
    const found = await read({
      'modules.json': [{ path: 'pool', type: 'sentence_transformers.base.modules.pooling.Pooling' }],
      'pool/config.json': { pooling_mode: 'max' },
    })
    expect(found).toMatchObject({ pooling: 'max', layers: [] })
  })
})

describe('prefixes', () => {
  it.each([
    [{ query: 'q: ', passage: 'p: ' }, undefined, { query: 'q: ', passage: 'p: ' }],
    [{ query: 'q: ', document: 'd: ' }, undefined, { query: 'q: ', passage: 'd: ' }],
    [{ query: 'q: ', corpus: 'c: ' }, undefined, { query: 'q: ', passage: 'c: ' }],
    [{ query: 'q: ', document: '' }, undefined, { query: 'q: ', passage: '' }],
    [{ query: 'q: ', other: 'o: ' }, 'other', { query: 'q: ', passage: 'o: ' }],
    [{ query: '', document: '' }, null, { query: '', passage: '' }],
    [{ other: 'o: ' }, undefined, { query: '', passage: '' }],
  ])('of the prompts %o', async (prompts, usual, expected) => {
    const file = { prompts, default_prompt_name: usual }
    expect((await read({ 'config_sentence_transformers.json': file })).prefixes).toEqual(expected)
  })

  it('are those of the family where the files say nothing, and those of the files where they do', async () => {
    const family = { query: 'query: ', passage: 'passage: ' }
    expect((await read({}, 'Xenova/multilingual-e5-small')).prefixes).toEqual(family)
    expect((await read({ 'config.json': { ...config, _name_or_path: 'intfloat/e5-base-v2' } })).prefixes).toEqual(
      family,
    )
    const silent = { 'config_sentence_transformers.json': { prompts: { query: '', document: '' } } }
    expect((await read(silent, 'e5-small')).prefixes).toEqual(family)
    const own = { 'config_sentence_transformers.json': { prompts: { query: 'find: ' } } }
    expect((await read(own, 'e5-small')).prefixes).toEqual({ query: 'find: ', passage: '' })
  })

  it('that are left out of the pooling are refused', async () => {
    const files = {
      '1_Pooling/config.json': { include_prompt: false },
      'config_sentence_transformers.json': { prompts: { query: 'q: ' } },
    }
    await expect(read(files)).rejects.toThrow(/leaves its prompts out of the pooling/)
    await expect(read({ '1_Pooling/config.json': { include_prompt: false } })).resolves.toBeDefined()
  })
})

it.each([
  ['Xenova/bge-small-en-v1.5', 'cls', /^Represent this sentence/, ''],
  ['intfloat/multilingual-e5-large', 'mean', /^query: $/, 'passage: '],
  ['intfloat/multilingual-e5-large-instruct', 'mean', /^$/, ''],
  ['nomic-ai/nomic-embed-text-v1.5', 'mean', /^search_query: $/, 'search_document: '],
  ['Snowflake/snowflake-arctic-embed-m-v2.0', 'cls', /^query: $/, ''],
  ['Snowflake/snowflake-arctic-embed-xs', 'cls', /^Represent/, ''],
  ['Xenova/bge-m3', 'cls', /^$/, ''],
  ['Alibaba-NLP/gte-base-en-v1.5', 'cls', /^$/, ''],
  ['Supabase/gte-small', 'mean', /^$/, ''],
  ['someone/code5-small-thing', 'mean', /^$/, ''],
])('the family of %s', (name, pooling, query, passage) => {
  const family = familyOf([name])
  expect(family).toMatchObject({ pooling, prefixes: { passage } })
  expect(family.prefixes.query).toMatch(query)
})

describe('the longest text', () => {
  const long = { ...config, max_position_embeddings: 8_192 }
  it.each([
    [
      'as sentence-transformers says',
      { 'config.json': long, 'sentence_bert_config.json': { max_seq_length: 2_048 } },
      2_048,
    ],
    ['never behind the position table', { 'sentence_bert_config.json': { max_seq_length: 64 } }, 16],
    ['as the tokenizer says', {}, 12],
    [
      'with positions that begin behind the padding token',
      { 'config.json': { ...config, model_type: 'xlm-roberta', pad_token_id: 1 }, 'tokenizer_config.json': {} },
      14,
    ],
    [
      '512 where a tokenizer has no limit',
      { 'config.json': long, 'tokenizer_config.json': { model_max_length: 1e30 } },
      512,
    ],
    [
      '512 where only a tokenizer says more',
      { 'config.json': long, 'tokenizer_config.json': { model_max_length: 8_192 } },
      512,
    ],
    ['512 where nothing says any', { 'config.json': { hidden_size: 8 }, 'tokenizer_config.json': undefined }, 512],
    ['of another architecture', { 'config.json': { n_embd: 8, n_positions: 10 } }, 10],
  ])('%s', async (_, files, expected) => {
    expect((await read(files)).maxTokens).toBe(expected)
  })
})

it.each([
  [{ 'config.json': { n_embd: 768 } }, 768],
  [{ 'config.json': { dim: 768 } }, 768],
  [{ '1_Pooling/config.json': { word_embedding_dimension: 5, pooling_mode_cls_token: true } }, 5],
  [
    {
      'modules.json': [{ path: '2_Dense', type: 'sentence_transformers.models.Dense' }],
      '2_Dense/config.json': { out_features: 3 },
    },
    3,
  ],
])('the width of its vectors: %o', async (files, expected) => {
  expect((await read(files)).outputWidth).toBe(expected)
})

it('a model that does not tell the width of its vectors is refused', async () => {
  await expect(read({ 'config.json': {} })).rejects.toThrow(/does not say how long its vectors are/)
  await expect(read({ 'config.json': [] })).rejects.toThrow(/config\.json is not a model configuration/)
})
