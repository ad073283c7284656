import { z } from 'zod'
import type { ComponentContext, Failure, Reference } from '../core/component.ts'
import type { Embedder } from '../core/embedder.ts'
import { InvalidInput } from '../core/errors.ts'
import type { Event } from '../core/event.ts'
import type { Expression } from '../core/expression.ts'
import { dot } from '../similarity/vector-matrix.ts'
import { failed } from './outcome.ts'

/** Where a processor takes the meaning of an event from: a vector that it has, or a text that is embedded. */
export interface MeaningOptions {
  readonly vector?: string | undefined
  readonly text?: string | undefined
}

/** The options of a processor that compares by meaning, beside its own. `eitherOr` says that it needs one of the two. */
export const meaningOptions = {
  vector: z.string().min(1).optional().describe('The vector to compare, made by an `embed` before.'),
  text: z.string().optional().describe('In place of `vector`: an expression for a text, which is embedded here.'),
}

/** For `refine`. */
export const eitherOr = [
  ({ vector, text }: MeaningOptions) => (vector === undefined) !== (text === undefined),
  'give either "vector" or "text"',
] as const

/** For `superRefine`: each of these options names a field of its own. */
export function ownFields<Name extends string>(...options: readonly Name[]) {
  return (given: { readonly [name in Name]?: string | undefined }, { addIssue }: z.RefinementCtx): void => {
    const owners = new Map<string, Name>()
    for (const option of options) {
      const field = given[option]
      if (field === undefined) continue
      const owner = owners.get(field)
      if (owner === undefined) owners.set(field, option)
      else addIssue({ code: 'custom', message: `"${owner}" takes the field "${field}" already`, path: [option] })
    }
  }
}

export function meaningReferences({ vector, text }: MeaningOptions): Reference[] {
  const references: Reference[] = []
  if (vector !== undefined) references.push({ kind: 'vector', path: ['vector'], name: vector })
  if (text !== undefined) references.push({ kind: 'expression', path: ['text'], text, returns: 'string' })
  return references
}

/** The meaning of each event as a vector of length 1, by index, or why it has none. May throw `Retryable` or `Fatal`. */
export type Meanings = (batch: readonly Event[], signal: AbortSignal) => Promise<(Float32Array | Failure)[]>

export function meaningsOf(
  { vector, text }: MeaningOptions,
  embedder: Embedder,
  { expressions, component }: Pick<ComponentContext, 'expressions' | 'component'>,
): Meanings {
  if (text === undefined) {
    return async (batch) => batch.map((event) => vectorNamed(event, vector ?? '', embedder.dimension, component))
  }
  const textOf = expressions.compile(text, 'string')
  return (batch, signal) => vectorsOf(textsOf(batch, textOf, component), embedder, signal)
}

function vectorNamed(event: Event, name: string, dimension: number, component: string): Float32Array | Failure {
  const vector = event.vectors[name]
  if (vector === undefined) {
    const message = `${component}: the event has no vector "${name}". Put an "embed" with "as: ${name}" before it.`
    return { failed: true, code: 'vector_missing', message }
  }
  if (vector.length === dimension) return ofLengthOne(vector, name, component)
  const message = `${component}: the vector "${name}" has ${vector.length} dimensions, the model has ${dimension}.`
  return { failed: true, code: 'dimension_mismatch', message }
}

/** How far from 1 a length may be that is only rounded. */
const rounding = 1e-5

function ofLengthOne(vector: Float32Array, name: string, component: string): Float32Array | Failure {
  const length = Math.sqrt(dot(vector, vector))
  if (Math.abs(length - 1) <= rounding) return vector
  if (length > 0 && length < Number.POSITIVE_INFINITY) return vector.map((value) => value / length)
  const message = `${component}: the vector "${name}" has the length ${length}, so it points nowhere.`
  return { failed: true, code: 'vector_without_direction', message }
}

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
