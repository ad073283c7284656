import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { temporaryFolder } from '../support.ts'

const fixtures = join(import.meta.dirname, 'fixtures')
/** Numbers in the vector of a token. */
export const width = 8
export const cls = 2
export const sep = 3
const special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]']
const words = Array.from({ length: 28 }, (_, index) => `w${index + special.length}`)

const frame = [
  { SpecialToken: { id: '[CLS]', type_id: 0 } },
  { Sequence: { id: 'A', type_id: 0 } },
  { SpecialToken: { id: '[SEP]', type_id: 0 } },
]

/** The word `w7` has the id 7. */
const tokenizer = {
  version: '1.0',
  truncation: null,
  padding: null,
  added_tokens: special.map((content, id) => ({
    ...{ id, content, special: true, normalized: false },
    ...{ single_word: false, lstrip: false, rstrip: false },
  })),
  normalizer: null,
  pre_tokenizer: { type: 'Whitespace' },
  decoder: null,
  post_processor: {
    type: 'TemplateProcessing',
    single: frame,
    pair: frame,
    special_tokens: {
      '[CLS]': { id: '[CLS]', ids: [cls], tokens: ['[CLS]'] },
      '[SEP]': { id: '[SEP]', ids: [sep], tokens: ['[SEP]'] },
    },
  },
  model: {
    type: 'WordLevel',
    unk_token: '[UNK]',
    vocab: Object.fromEntries([...special, ...words].map((word, id) => [word, id])),
  },
}

const files: Readonly<Record<string, unknown>> = {
  'config.json': { model_type: 'bert', hidden_size: width, max_position_embeddings: 16, pad_token_id: 0 },
  'tokenizer.json': tokenizer,
  'tokenizer_config.json': { tokenizer_class: 'PreTrainedTokenizerFast', model_max_length: 12, pad_token: '[PAD]' },
}

/** Which of the tiny models lies under which name. */
type Weights = Readonly<Record<string, string>>

/**
 * A folder with tiny models. `changed` are JSON files besides the usual ones, or in their place; undefined leaves one out.
 */
export async function tinyModel(
  weights: Weights = { 'onnx/model.onnx': 'tokens.onnx' },
  changed: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  const folder = await temporaryFolder()
  for (const [name, content] of Object.entries({ ...files, ...changed })) {
    if (content === undefined) continue
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), JSON.stringify(content))
  }
  for (const [name, model] of Object.entries(weights)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await copyFile(join(fixtures, model), join(folder, name))
  }
  return folder
}

/** The vector of a token in `tokens.onnx`, and in those that are built on it. */
export function tokenVector(id: number, wave: (x: number) => number = Math.sin): number[] {
  return Array.from({ length: width }, (_, column) => wave(id * width + column + 1))
}

export function unit(vector: readonly number[]): number[] {
  const norm = Math.hypot(...vector)
  return vector.map((value) => value / norm)
}
