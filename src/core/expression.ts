import type { Event, Json } from './event.ts'
import type { Shape } from './shape.ts'

/** What an expression sees of an event: `value`, `key`, `headers`, `timestamp`, `topic`, `partition`, `offset`. */
export type Scope = Pick<Event, 'value' | 'key' | 'headers' | 'timestamp' | 'position'>

export type ExpressionType = 'bool' | 'string' | 'number' | 'list' | 'any'

/** A compiled expression. Throws `MillraceError` with code `expression_failed` when the event does not fit it. */
export type Expression<T> = (scope: Scope) => T

export interface ExpressionProblem {
  readonly message: string
  /** Character offset into the expression's text. */
  readonly at: number
}

/** The expression language. Compiling throws `InvalidInput` with the first problem. */
export interface Expressions {
  compile(text: string, returns: 'bool'): Expression<boolean>
  compile(text: string, returns: 'string'): Expression<string>
  compile(text: string, returns: 'number'): Expression<number>
  compile(text: string, returns: 'list'): Expression<readonly Json[]>
  compile(text: string, returns: 'any'): Expression<Json>
  /** Syntax, types, and names of fields that cannot be there given the shape. */
  check(text: string, returns: ExpressionType, shape: Shape): ExpressionProblem[]
}
