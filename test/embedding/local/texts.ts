import type { Work } from '../../../src/embedding/backend.ts'
import { newText, type Priority, type Text } from '../../../src/embedding/local/text.ts'

/** What became of a text. */
export interface Outcome {
  vector?: Float32Array
  error?: Error
  dropped?: true
}

/** A tokenized text of so many tokens, each of them `token`. */
export function textOf(tokens: number, priority: Priority = 'bulk', outcome: Outcome = {}, token = 1): Text {
  const work: Work = {
    text: 'word '.repeat(tokens),
    priority,
    wanted: () => true,
    done: (vector) => {
      outcome.vector = vector
    },
    failed: (error) => {
      outcome.error = error
    },
    dropped: () => {
      outcome.dropped = true
    },
  }
  const text = newText(work)
  text.ids = new Int32Array(tokens).fill(token)
  return text
}
