import type { Failure } from '../core/component.ts'
import type { Embedder } from '../core/embedder.ts'
import { InvalidInput } from '../core/errors.ts'
import type { Event } from '../core/event.ts'
import type { Expression } from '../core/expression.ts'
import { failed } from './outcome.ts'

/** The text of each event, by index, or why it has none that could be embedded. */
export function textsOf(
  batch: readonly Event[],
  textOf: Expression<string>,
  component: string,
): readonly (string | Failure)[] {
  return batch.map((event) => {
    try {
      const text = textOf(event)
      if (text.trim() !== '') return text
      const message = `${component}: the text is empty, so there is nothing to embed. Filter such events out before.`
      return { failed: true, code: 'empty_text', message }
    } catch (error) {
      return failed(error)
    }
  })
}

/** The vector of each text, in one call of the embedder, by index. Failures stay in their place. */
export async function vectorsOf(
  texts: readonly (string | Failure)[],
  embedder: Embedder,
  signal: AbortSignal,
): Promise<(Float32Array | Failure)[]> {
  const given = texts.filter((text) => typeof text === 'string')
  const vectors = (await embedTogether(given, embedder, signal)).values()
  return texts.map((text) => {
    if (typeof text !== 'string') return text
    const next = vectors.next()
    if (next.done === true) throw new Error('the embedder answered fewer vectors than it was given texts')
    return next.value
  })
}

/**
 * A batch of no more texts than this goes before bulk work: it comes from a lane that keeps up, and someone may be
 * watching. A lane that falls behind brings larger ones, so bulk work cannot starve.
 */
const fewTexts = 4

/** A text that the model cannot take fails alone: the others are asked for again, and their vectors are there by then. */
async function embedTogether(
  texts: readonly string[],
  embedder: Embedder,
  signal: AbortSignal,
): Promise<(Float32Array | Failure)[]> {
  if (texts.length === 0) return []
  try {
    return await embedder.embed(texts, { signal, priority: texts.length <= fewTexts ? 'query' : 'bulk' })
  } catch (error) {
    if (!(error instanceof InvalidInput)) throw error
    const alone = texts.map(async (text) => (await embedder.embed([text], { signal }))[0])
    const settled = await Promise.allSettled(alone)
    return settled.map((result) => {
      if (result.status === 'fulfilled' && result.value !== undefined) return result.value
      return onlyInvalid(result.status === 'rejected' ? result.reason : undefined)
    })
  }
}

function onlyInvalid(error: unknown): Failure {
  if (!(error instanceof InvalidInput)) throw error
  return failed(error)
}
