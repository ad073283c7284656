import { setImmediate } from 'node:timers/promises'
import type { Column } from '../../src/core/analytics.ts'
import { Misfit } from '../../src/core/clickhouse/misfit.ts'
import { fittingOf } from '../../src/core/clickhouse/values.ts'
import { errorCode, errorMessage, type Rejection } from '../../src/core/errors.ts'
import { type Event, isJsonObject, isTombstone, type Json, type JsonObject } from '../../src/core/event.ts'
import type { Expression, Expressions } from '../../src/core/expression.ts'

export interface ColumnSource extends Column {
  /** An expression; undefined for the field of the column's name. */
  readonly from: string | undefined
}

export interface IndexedRow {
  /** Index of the event in its block. */
  readonly index: number
  readonly row: JsonObject
}

interface Rows {
  readonly rows: readonly IndexedRow[]
  readonly rejections: readonly Rejection[]
}

export type RowBuilder = (events: readonly Event[]) => Promise<Rows>

/** Events that are worked on at a stretch: some milliseconds, after which others have their turn. */
const stretch = 2_000

/** Compiles columns once, for all events. Throws `InvalidInput` for an expression or a type that is none. */
export function rowBuilder(columns: readonly ColumnSource[], upsert: boolean, expressions: Expressions): RowBuilder {
  const cells = columns.map(({ name, type, from }) => ({
    name,
    read: reader(name, from, expressions),
    convert: fittingOf(type),
  }))
  const absent = Object.fromEntries(cells.map(({ name, convert }) => [name, convert(null)]))
  const build = (event: Event): JsonObject => {
    const row: Record<string, Json> = upsert ? identity(event) : {}
    for (const { name, read, convert } of cells) {
      try {
        row[name] = convert(read(event))
      } catch (error) {
        throw error instanceof Misfit ? new Misfit(`column ${name}: ${error.message}`) : error
      }
    }
    return row
  }
  return async (events) => {
    const rows: IndexedRow[] = []
    const rejections: Rejection[] = []
    for (const [index, event] of events.entries()) {
      if (index > 0 && index % stretch === 0) await setImmediate()
      if (isTombstone(event)) {
        if (upsert) rows.push({ index, row: { ...identity(event), _deleted: 1, ...absent } })
        continue
      }
      try {
        rows.push({ index, row: build(event) })
      } catch (error) {
        const code = error instanceof Misfit ? 'value_does_not_fit' : (errorCode(error) ?? 'expression_failed')
        rejections.push({ index, code, message: errorMessage(error) })
      }
    }
    return { rows, rejections }
  }
}

/**
 * Of the rows with one id, the one with the highest offset counts. Events of one id have to stand in one partition, as
 * they do when the id is made from the key.
 */
function identity(event: Event) {
  return { _id: event.id, _version: event.position.offset, _deleted: 0 }
}

/** A field that an event lacks is null, unlike in other expressions: the column has a default for it. */
function reader(name: string, from: string | undefined, expressions: Expressions): Expression<Json> {
  if (from !== undefined && !/^value(\.[A-Za-z_]\w*)+$/.test(from)) return expressions.compile(from, 'any')
  const path = from === undefined ? [name] : from.split('.').slice(1)
  return ({ value }) => fieldAt(value, path)
}

function fieldAt(value: Json, path: readonly string[]): Json {
  let here = value
  for (const name of path) {
    if (!isJsonObject(here) || !Object.hasOwn(here, name)) return null
    here = here[name] ?? null
  }
  return here
}
