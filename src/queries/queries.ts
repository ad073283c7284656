import type { Analytics, QueryResult } from '../core/analytics.ts'
import { claimAt } from '../core/claims.ts'
import { Misfit } from '../core/clickhouse/misfit.ts'
import { parameterFitting } from '../core/clickhouse/parameters.ts'
import { Forbidden, InvalidInput, NotFound } from '../core/errors.ts'
import type { Json } from '../core/event.ts'
import type { NamedQuery, QueryParameter } from '../core/named-query.ts'
import { didYouMean } from '../core/nearest.ts'
import { notAllowed, type Principal, type RowFilter } from '../core/principal.ts'

export type GivenParameters = Readonly<Record<string, Json>>

/** A query with all it needs to run, for one caller or all who ask for the same and see the same. */
export interface BoundQuery {
  /** Equal for what has the same rows. */
  readonly key: string
  readonly name: string
  readonly sql: string
  readonly params: GivenParameters
  readonly tables: readonly string[]
  readonly rows: RowFilter | undefined
  /** Milliseconds after which its rows may be others without a change of a table. */
  readonly refresh: number | undefined
  /** Throws as `Analytics.query`. */
  run(signal?: AbortSignal): Promise<QueryResult>
  /** As `Analytics.changes`, of its tables. */
  changes(signal: AbortSignal): AsyncIterable<void>
}

/** The named queries of a process. */
export class Queries {
  readonly #queries: ReadonlyMap<string, NamedQuery>
  readonly #analytics: () => Promise<Analytics>

  constructor(queries: readonly NamedQuery[], analytics: () => Promise<Analytics>) {
    this.#queries = new Map(queries.map((query) => [query.name, query]))
    this.#analytics = analytics
  }

  /** Those that someone may use, by name. */
  list(principal: Principal): NamedQuery[] {
    const mine = [...this.#queries.values()].filter(({ name }) => principal.may('query', name))
    return mine.toSorted((one, other) => (one.name < other.name ? -1 : 1))
  }

  /**
   * Throws `NotFound` (`query_not_found`), `Forbidden` (`forbidden`; `claim_missing` if the caller's token lacks what a parameter is
   * taken from), and `InvalidInput` (`unknown_parameter`, `missing_parameter`, `bad_parameter`) for what is wrong with the
   * parameters.
   */
  bind(name: string, given: GivenParameters, principal: Principal): BoundQuery {
    const query = this.#find(name, principal)
    const params = bindParameters(query, given, principal)
    const { sql, tables, refresh } = query
    const rows = principal.rows('query', name)
    const analytics = this.#analytics
    return {
      key: JSON.stringify([name, params, rows ?? null]),
      name,
      sql,
      params,
      tables,
      rows,
      refresh,
      run: async (signal) => (await analytics()).query(sql, params, signal, rows),
      changes: async function* (signal) {
        yield* (await analytics()).changes(tables, signal)
      },
    }
  }

  /** Whoever may not use a query learns nothing of it that its name does not say. */
  #find(name: string, principal: Principal): NamedQuery {
    if (!principal.may('query', name)) throw notAllowed(principal, 'query', name)
    const query = this.#queries.get(name)
    if (query) return query
    const mine = this.list(principal).map((each) => each.name)
    throw new NotFound({
      code: 'query_not_found',
      message: `There is no query "${name}"${didYouMean(name, mine) || '.'}`,
      hint: mine.length === 0 ? 'A query is a file under queries/.' : `There are ${mine.join(', ')}.`,
    })
  }
}

/** In the order of the query's file, so that the order of the caller makes no difference. */
function bindParameters(query: NamedQuery, given: GivenParameters, principal: Principal): Record<string, Json> {
  const { name: queryName, params } = query
  for (const name of Object.keys(given)) {
    const parameter = Object.hasOwn(params, name) ? params[name] : undefined
    if (parameter === undefined) throw unknownParameter(queryName, name, params)
    if (parameter.claim !== undefined) {
      throw new InvalidInput({
        code: 'unknown_parameter',
        message: `The parameter "${name}" of the query "${queryName}" is taken from your token and cannot be given.`,
      })
    }
  }
  const bound: Record<string, Json> = {}
  for (const [name, parameter] of Object.entries(params)) {
    bound[name] = bindParameter(queryName, name, parameter, given, principal)
  }
  return bound
}

function bindParameter(
  query: string,
  name: string,
  { type, default: otherwise, claim }: QueryParameter,
  given: GivenParameters,
  { claims }: Principal,
): Json {
  const value =
    claim === undefined ? (Object.hasOwn(given, name) ? given[name] : otherwise) : asJson(claimAt(claims, claim))
  if (value === undefined) {
    if (claim !== undefined) throw claimMissing(query, name, `has no claim "${claim}"`)
    throw new InvalidInput({
      code: 'missing_parameter',
      message: `The query "${query}" needs the parameter "${name}", a ${type}.`,
    })
  }
  try {
    return parameterFitting(type)(value)
  } catch (error) {
    if (!(error instanceof Misfit)) throw error
    if (claim !== undefined) throw claimMissing(query, name, `has a claim "${claim}" that is no ${type}`)
    throw new InvalidInput({
      code: 'bad_parameter',
      message: `The parameter "${name}" of the query "${query}" is a ${type}: ${error.message}.`,
    })
  }
}

function unknownParameter(query: string, name: string, params: NamedQuery['params']): InvalidInput {
  const known = Object.keys(params).filter((each) => params[each]?.claim === undefined)
  const others = known.length === 0 ? '; it has none that can be given.' : `; it has ${known.join(', ')}.`
  return new InvalidInput({
    code: 'unknown_parameter',
    message: `The query "${query}" has no parameter "${name}"${didYouMean(name, known) || others}`,
  })
}

function claimMissing(query: string, name: string, why: string): Forbidden {
  const message = `The query "${query}" takes "${name}" from your token, which ${why}.`
  return new Forbidden({ code: 'claim_missing', message })
}

/** Claims come from JSON; null says as little as nothing. */
function asJson(claim: unknown): Json | undefined {
  if (typeof claim === 'string' || typeof claim === 'number' || typeof claim === 'boolean') return claim
  if (!Array.isArray(claim)) return undefined
  const items = claim.map(asJson)
  return items.every((item) => item !== undefined) ? items : undefined
}
