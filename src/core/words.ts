const word = /[\p{L}\p{M}\p{N}]+/gu

/** The words of a text, in order and lower case: unbroken runs of letters and digits. `ERR_4711` has two. */
export function wordsOf(text: string): string[] {
  return text.normalize('NFKC').toLowerCase().match(word) ?? []
}
