import type { Expression } from '../core/expression.ts'
import { type ChannelEvent, Matched } from './channel-event.ts'
import type { StandingQueries, StandingQuery } from './standing-queries.ts'

/** What one group of identical subscriptions asks for. */
export interface Matcher {
  readonly filter: Expression<boolean> | undefined
  readonly similar: { readonly query: StandingQuery; readonly minScore: number } | undefined
}

/** The scores of a batch, computed when first asked for and then shared by all groups. */
export class BatchScores {
  readonly #queries: StandingQueries
  readonly #scores = new Map<ChannelEvent, Float32Array | undefined>()

  constructor(queries: StandingQueries) {
    this.#queries = queries
  }

  /** Undefined if the event has no vector of the query's dimension. */
  of(event: ChannelEvent, { dimension, row }: StandingQuery): number | undefined {
    if (event.event.vector?.length !== dimension) return undefined
    if (!this.#scores.has(event)) {
      const { vector } = event.event
      this.#scores.set(event, vector === undefined ? undefined : this.#queries.compare(vector))
    }
    return this.#scores.get(event)?.[row]
  }
}

/** The events of a batch that match, in order. `comparable` is false if some event had no vector to compare. */
export function match(
  { filter, similar }: Matcher,
  batch: readonly ChannelEvent[],
  scores: BatchScores,
): { readonly matched: Matched[]; readonly comparable: boolean } {
  const matched: Matched[] = []
  let comparable = true
  for (const event of batch) {
    if (event.retracts) {
      matched.push(new Matched(event, undefined))
      continue
    }
    if (filter && !passes(filter, event)) continue
    const score = similar && scores.of(event, similar.query)
    if (similar && score === undefined) comparable = false
    if (similar && (score === undefined || score < similar.minScore)) continue
    matched.push(new Matched(event, score))
  }
  return { matched, comparable }
}

/** An event that the expression fails on, for it lacks a field perhaps, is not one that was asked for. */
function passes(filter: Expression<boolean>, event: ChannelEvent): boolean {
  try {
    return filter(event.scope)
  } catch {
    return false
  }
}
