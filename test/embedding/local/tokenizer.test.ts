import { writeFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { TextTokenizer } from '../../../src/embedding/local/tokenizer.ts'
import { readModel } from '../../../src/embedding/models/model.ts'
import { cls, sep, tinyModel } from '../models/tiny-model.ts'
import { modelFolder } from '../support.ts'

async function open(changed: Readonly<Record<string, unknown>> = {}): Promise<TextTokenizer> {
  return TextTokenizer.load(await readModel(await tinyModel(undefined, changed)))
}

describe('the ids of a text', () => {
  it('stand between the special tokens', async () => {
    const tokenizer = await open()
    expect(tokenizer.tokenize('w5 w6')).toEqual({ ids: Int32Array.of(cls, 5, 6, sep), truncated: false })
    expect(tokenizer.tokenize('')).toEqual({ ids: Int32Array.of(cls, sep), truncated: false })
    expect(tokenizer.count('w5 w6 w7')).toBe(3)
  })

  it('are cut at the limit of the model, the special token at the end kept', async () => {
    const tokenizer = await open({ 'sentence_bert_config.json': { max_seq_length: 5 } })
    expect(tokenizer.tokenize('w5 w6 w7')).toEqual({ ids: Int32Array.of(cls, 5, 6, 7, sep), truncated: false })
    expect(tokenizer.tokenize('w5 w6 w7 w8')).toEqual({ ids: Int32Array.of(cls, 5, 6, 7, sep), truncated: true })
    expect(tokenizer.count('w5 w6 w7 w8')).toBe(4)
  })

  it('are never none, for a model needs something to look at', async () => {
    const bare = JSON.stringify({
      version: '1.0',
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: { type: 'Whitespace' },
      post_processor: null,
      decoder: null,
      model: { type: 'WordLevel', unk_token: 'a', vocab: { a: 0, b: 1 } },
    })
    const folder = await tinyModel()
    await writeFile(`${folder}/tokenizer.json`, bare)
    const tokenizer = await TextTokenizer.load(await readModel(folder))
    expect(tokenizer.tokenize('b b').ids).toEqual(Int32Array.of(1, 1))
    expect(tokenizer.tokenize('').ids).toEqual(Int32Array.of(0))
  })

  it('are those of the whole text, however long it is', async () => {
    const tokenizer = await TextTokenizer.load(await readModel(modelFolder))
    const words = Array.from({ length: 4_000 }, (_, index) => `word${index % 7}`)
    const long = tokenizer.tokenize(words.join(' '))
    expect(long.truncated).toBe(true)
    expect(long.ids).toHaveLength(256)
    expect(long.ids.slice(0, 200)).toEqual(tokenizer.tokenize(words.slice(0, 150).join(' ')).ids.slice(0, 200))
    // One token for a run of characters that is longer than the first look.
    expect(tokenizer.tokenize(`${' '.repeat(5_000)}hello`)).toEqual(tokenizer.tokenize('hello'))
  })
})

it('a tokenizer that is none is named', async () => {
  await expect(open({ 'tokenizer.json': [] })).rejects.toThrow(/the tokenizer .*tokenizer\.json cannot be loaded/)
  await expect(open({ 'tokenizer.json': undefined })).rejects.toThrow(
    /tokenizer\.json cannot be read: there is no such file/,
  )
})
