import { InvalidInput } from '../core/errors.ts'
import type { Json } from '../core/event.ts'
import type { Expression, Expressions } from '../core/expression.ts'
import type { ChannelEvent } from './channel-event.ts'

/** Milliseconds that an expression may take for an event, on average. */
const meanCost = 0.5
/** What it may have taken in all before the average is looked at: as much as so many events may cost. */
const leastCost = 20 * meanCost
/**
 * The process may be held up (a collection of garbage, another process) while it evaluates something: until there are many
 * evaluations, one of them counts for no more than this.
 */
const mostOfOne = 4 * meanCost
const many = 1_000
/** How long an expression that was too costly is refused. */
const refusedMs = 60_000

export const tooCostlyCode = 'expression_too_costly'

/** An expression of clients, shared by all subscriptions of a channel that give the same text; its cost is watched. */
export class SharedExpression<T> {
  readonly text: string
  readonly #expression: Expression<T>
  readonly #now: () => number
  #evaluations = 0
  #cost = 0
  #wholeCost = 0
  #tooCostlyAt: number | undefined

  /** `now` is a monotonic clock in milliseconds. */
  constructor(text: string, expression: Expression<T>, now: () => number = () => performance.now()) {
    this.text = text
    this.#expression = expression
    this.#now = now
  }

  /** It has taken too long for the events there were: it is evaluated no more, and its subscriptions end. */
  get tooCostly(): boolean {
    return this.#tooCostlyAt !== undefined
  }

  /** Whether it was too costly a while ago and may show itself again. */
  get forgiven(): boolean {
    return this.#tooCostlyAt !== undefined && this.#now() - this.#tooCostlyAt > refusedMs
  }

  /** Undefined where the expression fails, for the event lacks a field perhaps, and when it has become too costly. */
  evaluate(event: ChannelEvent): T | undefined {
    if (this.#tooCostlyAt !== undefined) return undefined
    const started = this.#now()
    try {
      return this.#expression(event.scope)
    } catch {
      return undefined
    } finally {
      this.#count(this.#now() - started)
    }
  }

  #count(cost: number): void {
    this.#evaluations++
    this.#wholeCost += cost
    this.#cost += Math.min(cost, mostOfOne)
    const counted = this.#evaluations < many ? this.#cost : this.#wholeCost
    if (counted > leastCost && counted > this.#evaluations * meanCost) this.#tooCostlyAt = this.#now()
    // The events of long ago say little about those of now.
    if (this.#evaluations < 2 * many) return
    this.#evaluations /= 2
    this.#cost /= 2
    this.#wholeCost /= 2
  }
}

export type Filter = SharedExpression<boolean>
/** What events are conflated by: the latest for each of its results counts. */
export type ConflateKey = SharedExpression<Json>

/** Texts that are remembered: one that is used but forgotten is merely compiled and evaluated once more. */
const rememberedTexts = 10_000

/** The expressions of live clients, compiled once for each channel. */
export class ClientExpressions {
  readonly #expressions: Expressions
  readonly #now: (() => number) | undefined
  readonly #filters = new Map<string, Filter>()
  readonly #keys = new Map<string, ConflateKey>()

  /** `now` is a monotonic clock in milliseconds. */
  constructor(expressions: Expressions, now?: () => number) {
    this.#expressions = expressions
    this.#now = now
  }

  /** Throws `InvalidInput` for one that does not compile, or that was too costly just now. */
  filter(channel: string, text: string): Filter {
    return shared(
      this.#filters,
      channel,
      text,
      () => new SharedExpression(text, this.#expressions.compile(text, 'bool'), this.#now),
    )
  }

  /** As `filter`. */
  conflateKey(channel: string, text: string): ConflateKey {
    return shared(
      this.#keys,
      channel,
      text,
      () => new SharedExpression(text, this.#expressions.compile(text, 'any'), this.#now),
    )
  }
}

function shared<T>(
  known: Map<string, SharedExpression<T>>,
  channel: string,
  text: string,
  compile: () => SharedExpression<T>,
): SharedExpression<T> {
  const name = `${channel} ${text}`
  const found = known.get(name)
  const expression = found && !found.forgiven ? found : compile()
  // The one asked for last is forgotten last.
  known.delete(name)
  known.set(name, expression)
  const [oldest] = known.keys()
  if (known.size > rememberedTexts && oldest !== undefined) known.delete(oldest)
  if (expression.tooCostly) throw new InvalidInput({ code: tooCostlyCode, message: tooCostly(text) })
  return expression
}

export function tooCostly(text: string): string {
  const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text
  return `The expression \`${shown}\` takes more than ${meanCost} ms for an event of this channel. Ask for less in it, or let the pipeline compute a field that it can look at.`
}
