import { posix } from 'node:path'
import { z } from 'zod'
import type { Purpose } from '../../core/embedder.ts'
import { type Family, familyOf } from './families.ts'
import { type Checksums, readJson, readOptionalJson, unusable } from './files.ts'
import { type Pooling, poolings } from './pooling.ts'

/** What the JSON files of a model folder say of it. */
export interface Configuration {
  readonly pooling: Pooling
  /** Numbers in each vector as the weights give it. */
  readonly outputWidth: number
  /** Special tokens included. */
  readonly maxTokens: number
  readonly padId: number
  readonly prefixes: Readonly<Record<Purpose, string>>
  /** What comes behind the pooling and is no mere normalisation: only a graph that holds all of the model has it. */
  readonly layers: readonly string[]
}

/** The files that are read if they are there, besides those of single layers. */
export const optionalFiles = [
  'modules.json',
  'sentence_bert_config.json',
  'config_sentence_transformers.json',
  '1_Pooling/config.json',
]

/** Tokens that a model gets at most, where its files do not say outright how long its texts may be. */
const usualMaxTokens = 512
/** A length that means none. */
const unlimited = 1e6
/** Their position table begins behind the padding token. */
const positionsBehindPadding = new Set([
  'roberta',
  'xlm-roberta',
  'xlm-roberta-xl',
  'camembert',
  'mpnet',
  'data2vec-text',
])

const size = z.int().positive()
const configSchema = z.object({
  _name_or_path: z.string().optional(),
  model_type: z.string().optional(),
  // What architectures call the width of a token's vector, and the length of their position table.
  hidden_size: size.optional(),
  n_embd: size.optional(),
  d_model: size.optional(),
  dim: size.optional(),
  max_position_embeddings: z.number().optional(),
  n_positions: z.number().optional(),
  pad_token_id: z.int().nonnegative().nullish(),
})
const lengthSchema = z.object({ max_seq_length: size.nullish() })
const tokenizerSchema = z.object({ model_max_length: z.number().positive().nullish() })
const promptsSchema = z.object({
  prompts: z.record(z.string(), z.string().nullable()).nullish(),
  default_prompt_name: z.string().nullish(),
})
const modulesSchema = z.array(z.object({ path: z.string(), type: z.string() }))
const poolingSchema = z
  .object({
    word_embedding_dimension: size.optional(),
    pooling_mode: z.union([z.string(), z.array(z.string())]).optional(),
    include_prompt: z.boolean().optional(),
  })
  .catchall(z.unknown())
const denseSchema = z.object({ out_features: size })

/** Reads them. `name`: what the model is called, for what its files leave out. Throws `Fatal` (`model_unusable`). */
export async function readConfiguration(folder: string, name: string, sums: Checksums): Promise<Configuration> {
  const optional = <T>(file: string, schema: z.ZodType<T>) => readOptionalJson(folder, file, schema, sums)
  const config = await readJson(folder, 'config.json', configSchema, sums)
  const modules = (await optional('modules.json', modulesSchema)) ?? []
  const layers = modules.filter(({ type }) => !['Transformer', 'Pooling', 'Normalize'].includes(kindOf(type)))
  const poolingPath = modules.find(({ type }) => kindOf(type) === 'Pooling')?.path ?? '1_Pooling'
  const pooling = await optional(posix.join(poolingPath, 'config.json'), poolingSchema)
  const family = familyOf([name, config._name_or_path ?? ''])
  const prompts = await optional('config_sentence_transformers.json', promptsSchema)
  const prefixes = prefixesOf(prompts, family)
  if (pooling?.include_prompt === false && Object.values(prefixes).some((prefix) => prefix !== '')) {
    throw unusable(
      `the model ${folder} leaves its prompts out of the pooling (include_prompt), which is not supported.`,
    )
  }
  const dense = layers.findLast(({ type }) => kindOf(type) === 'Dense')
  const last = dense && (await optional(posix.join(dense.path, 'config.json'), denseSchema))
  const length = await optional('sentence_bert_config.json', lengthSchema)
  const tokenizer = await optional('tokenizer_config.json', tokenizerSchema)
  const hidden = config.hidden_size ?? config.n_embd ?? config.d_model ?? config.dim
  const outputWidth = last?.out_features ?? pooling?.word_embedding_dimension ?? hidden
  if (outputWidth === undefined) {
    throw unusable(`the model ${folder} does not say how long its vectors are: its config.json has no hidden_size.`)
  }
  return {
    pooling: pooling === undefined ? family.pooling : poolingOf(pooling, folder),
    outputWidth,
    maxTokens: maxTokensOf(config, length?.max_seq_length, tokenizer?.model_max_length),
    padId: config.pad_token_id ?? 0,
    prefixes,
    layers: layers.map(({ type }) => kindOf(type)),
  }
}

/** `sentence_transformers.models.Pooling` → `Pooling` */
function kindOf(type: string): string {
  return type.slice(type.lastIndexOf('.') + 1)
}

/** The pooling of a configuration, which names it, or has a flag for each way there is. */
function poolingOf(config: z.infer<typeof poolingSchema>, folder: string): Pooling {
  const flags = Object.entries(config).filter(([key, value]) => key.startsWith('pooling_mode_') && value === true)
  const modes = config.pooling_mode === undefined ? flags.map(([key]) => key) : [config.pooling_mode].flat()
  const names = modes.map((mode) => mode.replace(/^pooling_mode_/, '').replace(/_?tokens?$/, ''))
  const [name = 'mean', ...others] = names
  // The two differ in the length of a vector only, and every vector is brought to length 1.
  const known = poolings.find((pooling) => pooling === (name === 'mean_sqrt_len' ? 'mean' : name))
  if (known !== undefined && others.length === 0) return known
  throw unusable(
    `the model ${folder} pools by ${names.join(' and ')}, which is not supported: one of ${poolings.join(', ')} is.`,
  )
}

function prefixesOf(config: z.infer<typeof promptsSchema> | undefined, family: Family): Record<Purpose, string> {
  const prompts = config?.prompts ?? {}
  const usual = prompts[config?.default_prompt_name ?? ''] ?? undefined
  const prompt = (...names: string[]) => names.map((name) => prompts[name]).find((text) => typeof text === 'string')
  const query = prompt('query') ?? usual
  const passage = prompt('passage', 'document', 'corpus') ?? usual
  // Empty prompts are written for models that say nothing of any.
  if ((query ?? '') === '' && (passage ?? '') === '') return family.prefixes
  return { query: query ?? '', passage: passage ?? '' }
}

function maxTokensOf(
  config: z.infer<typeof configSchema>,
  stated: number | null | undefined,
  tokenizer: unknown,
): number {
  const { model_type = '', max_position_embeddings, n_positions } = config
  const behind = positionsBehindPadding.has(model_type) ? (config.pad_token_id ?? 0) + 1 : 0
  const table = max_position_embeddings ?? n_positions ?? -1
  const positions = table > 0 ? table - behind : Number.POSITIVE_INFINITY
  const usual = typeof tokenizer === 'number' && tokenizer < unlimited ? tokenizer : usualMaxTokens
  return Math.min(stated ?? Math.min(usual, usualMaxTokens), positions)
}
