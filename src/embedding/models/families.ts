import type { Purpose } from '../../core/embedder.ts'
import type { Pooling } from './pooling.ts'

/** What the files of a model leave out, since exports for transformers.js often have neither pooling nor prompts in them. */
export interface Family {
  readonly pooling: Pooling
  readonly prefixes: Readonly<Record<Purpose, string>>
}

const none: Family = { pooling: 'mean', prefixes: { query: '', passage: '' } }
const searching = 'Represent this sentence for searching relevant passages: '

/** By what the authors say of their models. Matched with a model's name, in lower case; the first counts. */
const families: readonly (readonly [RegExp, Family])[] = [
  [
    /\be5-(?:small|base|large)(?!.*instruct)/,
    { pooling: 'mean', prefixes: { query: 'query: ', passage: 'passage: ' } },
  ],
  [/\bbge-(?:small|base|large)-en\b/, { pooling: 'cls', prefixes: { query: searching, passage: '' } }],
  [
    /\bbge-(?:small|base|large)-zh\b/,
    { pooling: 'cls', prefixes: { query: '为这个句子生成表示以用于检索相关文章：', passage: '' } },
  ],
  [/\bbge-m3\b/, { ...none, pooling: 'cls' }],
  [/\bnomic-embed-text\b/, { pooling: 'mean', prefixes: { query: 'search_query: ', passage: 'search_document: ' } }],
  [/\bsnowflake-arctic-embed-[a-z]+-v2/, { pooling: 'cls', prefixes: { query: 'query: ', passage: '' } }],
  [/\bsnowflake-arctic-embed\b/, { pooling: 'cls', prefixes: { query: searching, passage: '' } }],
  [/\bmxbai-embed-large\b/, { pooling: 'cls', prefixes: { query: searching, passage: '' } }],
  [/\bgte-(?:base|large)-en-v1\.5\b/, { ...none, pooling: 'cls' }],
]

/** What is known of the model by one of its names. */
export function familyOf(names: readonly string[]): Family {
  const known = families.find(([pattern]) => names.some((name) => pattern.test(name.toLowerCase())))
  return known?.[1] ?? none
}
