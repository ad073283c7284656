import { type ChannelEvent, Matched } from './channel-event.ts'
import type { Filter } from './filters.ts'
import type { StandingQueries, StandingQuery } from './standing-queries.ts'

/** What one group of identical subscriptions asks for. */
export interface Matcher {
  /** Whether an event is one of those that may be seen at all; undefined for everything. Asked of retractions too. */
  readonly rows?: ((event: ChannelEvent) => boolean) | undefined
  readonly filter: Filter | undefined
  readonly similar: { readonly query: StandingQuery; readonly minScore: number } | undefined
}

/**
 * Whether whoever matches the same events again finds the same. Not so with vectors, whose products depend on what they
 * are compared together with, and with rows, which for retractions depend on what is remembered.
 */
export function isRepeatable({ rows, similar }: Matcher): boolean {
  return rows === undefined && similar === undefined
}

export interface Match {
  /** The events that match, in order. */
  readonly matched: readonly Matched[]
  /** False if some event had no vector to compare. */
  readonly comparable: boolean
}

const unknown = 0
const passes = 1
const fails = 2

/** Events that are looked at together. What a filter says of each is found out once, for however many groups. */
export class EventBatch {
  readonly events: readonly ChannelEvent[]
  readonly #verdicts = new Map<Filter, Uint8Array>()

  constructor(events: readonly ChannelEvent[]) {
    this.events = events
  }

  /** Whether the event at an index passes; what the filter fails on does not. */
  passing(filter: Filter): (index: number) => boolean {
    const verdicts = this.#verdicts.get(filter) ?? new Uint8Array(this.events.length)
    this.#verdicts.set(filter, verdicts)
    return (index) => {
      const event = this.events[index]
      if (verdicts[index] === unknown && event) verdicts[index] = filter.evaluate(event) === true ? passes : fails
      return verdicts[index] === passes
    }
  }
}

/** `scores`: of the matcher's query with each event, by index, if it has one; NaN where there is nothing to compare. */
export function match({ rows, filter, similar }: Matcher, batch: EventBatch, scores?: Float32Array): Match {
  const matched: Matched[] = []
  let comparable = true
  const minScore = similar?.minScore ?? Number.NEGATIVE_INFINITY
  const passing = filter && batch.passing(filter)
  for (let index = 0; index < batch.events.length; index++) {
    const score = scores?.[index]
    // NaN is not less than anything.
    if (score !== undefined && score < minScore) continue
    const event = batch.events[index]
    if (event === undefined || (rows && !rows(event))) continue
    if (event.retracts) {
      matched.push(new Matched(event, undefined))
      continue
    }
    if (passing && !passing(index)) continue
    if (score !== undefined && Number.isNaN(score)) comparable = false
    else matched.push(new Matched(event, score))
  }
  return { matched, comparable }
}

/** For one group alone, which is all that looks at these events. */
export function matchAlone(matcher: Matcher, events: readonly ChannelEvent[], queries: StandingQueries): Match {
  const batch = new EventBatch(events)
  if (!matcher.similar) return match(matcher, batch)
  const vectors = events.map(({ vector }) => vector)
  return match(matcher, batch, queries.scores(matcher.similar.query, vectors))
}
