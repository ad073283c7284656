import type { FieldValue } from './filter.ts'

const word = /[\p{L}\p{M}\p{N}]+/gu
/** So many characters of a point's texts are looked at for words. */
const longestText = 32_768

/** The words of a text, in order and lower case: unbroken runs of letters and digits. `ERR_4711` has two. */
export function wordsOf(text: string): string[] {
  return text.normalize('NFKC').toLowerCase().match(word) ?? []
}

/** The words of all fields that hold texts, in order; of very long texts those at the beginning. */
export function wordsOfFields(fields: Readonly<Record<string, FieldValue>>): string[] {
  const texts = Object.values(fields).filter((value) => typeof value === 'string')
  return wordsOf(texts.join('\n').slice(0, longestText))
}
