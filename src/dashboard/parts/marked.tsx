const word = /[\p{L}\p{M}\p{N}]+/gu

interface Props {
  readonly text: string
  /** As `wordsIn` has them. */
  readonly words: ReadonlySet<string>
}

/** A text in which some words stand out. */
export function Marked({ text, words }: Props) {
  const parts = []
  let from = 0
  for (const { 0: found, index } of text.matchAll(word)) {
    if (!words.has(folded(found))) continue
    parts.push(text.slice(from, index), <mark>{found}</mark>)
    from = index + found.length
  }
  return [...parts, text.slice(from)]
}

/** The words of a text, as a hybrid search has them. */
export function wordsIn(text: string): ReadonlySet<string> {
  return new Set(Array.from(text.matchAll(word), ([found]) => folded(found)))
}

function folded(text: string): string {
  return text.normalize('NFKC').toLowerCase()
}
