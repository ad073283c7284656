import type { Expression } from '../core/expression.ts'
import { type ChannelEvent, Matched } from './channel-event.ts'
import type { StandingQueries, StandingQuery } from './standing-queries.ts'

/** What one group of identical subscriptions asks for. */
export interface Matcher {
  readonly filter: Expression<boolean> | undefined
  readonly similar: { readonly query: StandingQuery; readonly minScore: number } | undefined
}

export interface Match {
  /** The events that match, in order. */
  readonly matched: readonly Matched[]
  /** False if some event had no vector to compare. */
  readonly comparable: boolean
}

/** `scores`: of the matcher's query with each event, by index, if it has one; NaN where there is nothing to compare. */
export function match({ filter, similar }: Matcher, batch: readonly ChannelEvent[], scores?: Float32Array): Match {
  const matched: Matched[] = []
  let comparable = true
  const minScore = similar?.minScore ?? Number.NEGATIVE_INFINITY
  for (let index = 0; index < batch.length; index++) {
    const score = scores?.[index]
    // NaN is not less than anything.
    if (score !== undefined && score < minScore) continue
    const event = batch[index]
    if (event === undefined) continue
    if (event.retracts) {
      matched.push(new Matched(event, undefined))
      continue
    }
    if (filter && !passes(filter, event)) continue
    if (score !== undefined && Number.isNaN(score)) comparable = false
    else matched.push(new Matched(event, score))
  }
  return { matched, comparable }
}

/** For one group alone, which is all that looks at these events. */
export function matchAlone(matcher: Matcher, batch: readonly ChannelEvent[], queries: StandingQueries): Match {
  if (!matcher.similar) return match(matcher, batch)
  const vectors = batch.map(({ vector }) => vector)
  return match(matcher, batch, queries.scores(matcher.similar.query, vectors))
}

/** An event that the expression fails on, for it lacks a field perhaps, is not one that was asked for. */
function passes(filter: Expression<boolean>, event: ChannelEvent): boolean {
  try {
    return filter(event.scope)
  } catch {
    return false
  }
}
