import { InvalidInput } from '../../core/errors.ts'
import type { Work } from '../backend.ts'
import type { Ints } from './messages.ts'

export type Priority = Work['priority']

/** A text on its way through the threads. */
export interface Text {
  readonly work: Work
  /** A bulk text becomes a query when somebody waits for it. */
  priority: Priority
  /** Special tokens included; empty until it has been tokenized. */
  ids: Ints
  /** It had more tokens than the model takes. */
  truncated: boolean
  /** How often it was in a task that failed, or that was running when its thread ended. */
  failures: number
}

/** A text that fails this often, the last time alone, is given up. */
const maxFailures = 2

export function newText(work: Work): Text {
  return { work, priority: work.priority, ids: new Int32Array(0), truncated: false, failures: 0 }
}

/** Counts a failure: undefined if the text may be tried once more. */
export function failed(text: Text, message: string): InvalidInput | undefined {
  text.failures++
  if (text.failures < maxFailures) return undefined
  const { length } = text.work.text
  return new InvalidInput({
    code: 'text_not_embeddable',
    message: `The model failed on a text of ${length} characters each time it was tried: ${message}`,
  })
}
