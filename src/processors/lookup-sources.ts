import type { Analytics } from '../core/analytics.ts'
import { errorCode, Fatal, InvalidInput, MillraceError, Retryable } from '../core/errors.ts'
import type { Json, JsonObject } from '../core/event.ts'
import type { Hashes } from '../core/lookup.ts'
import type { Services } from '../core/services.ts'
import type { Answer, Lookup } from './lookup-cache.ts'
import { httpLookup } from './lookup-http.ts'
import { failed } from './outcome.ts'

type Fields = readonly string[] | undefined

/** Where reference data are. */
export type LookupSource =
  | { readonly kind: 'redis'; readonly prefix: string; readonly fields: Fields }
  | { readonly kind: 'clickhouse'; readonly table: string; readonly by: string; readonly fields: Fields }
  | { readonly kind: 'http'; readonly url: string; readonly fields: Fields }

export async function openLookup(source: LookupSource, services: Services): Promise<Lookup> {
  if (source.kind === 'redis') return redisLookup(source, await hashesOf(services))
  if (source.kind === 'clickhouse') return together(new TableLookup(source, await services.analytics()))
  return httpLookup(source, services.headersFor?.(new URL(source.url).origin) ?? {})
}

async function hashesOf(services: Services): Promise<Hashes> {
  if (services.hashes) return services.hashes()
  throw new Fatal({
    code: 'redis_not_bound',
    message: 'lookup: "redis" needs a Redis server, and none is bound.',
    hint: 'Name it in millrace.yaml, such as `redis: { url: redis://localhost:6379 }`.',
  })
}

function redisLookup({ prefix, fields }: { readonly prefix: string; readonly fields: Fields }, hashes: Hashes): Lookup {
  return together({
    async ask(keys) {
      const found = await hashes.get(
        keys.map((key) => prefix + key),
        fields,
      )
      return found.map((hash): Answer => {
        if (hash === undefined) return { found: false }
        return hash instanceof MillraceError ? failed(hash) : { found: true, value: hash }
      })
    },
  })
}

interface Asked {
  ask(keys: readonly string[]): Promise<readonly Answer[]>
}

/** Keys that one question may name. */
const mostKeys = 1_000

function together(source: Asked): Lookup {
  return (keys) => {
    const promises: Promise<Answer>[] = []
    for (let at = 0; at < keys.length; at += mostKeys) {
      const part = keys.slice(at, at + mostKeys)
      const answers = source.ask(part)
      for (const index of part.keys()) promises.push(answers.then((given) => given[index] ?? { found: false }))
    }
    return promises
  }
}

const keyColumn = '_lookup_key'

/** Rows of a table by one of its columns. */
class TableLookup implements Asked {
  readonly #table: string
  readonly #by: string
  readonly #fields: Fields
  readonly #analytics: Analytics
  #sql: string | undefined

  constructor(source: Extract<LookupSource, { readonly kind: 'clickhouse' }>, analytics: Analytics) {
    this.#table = source.table.split('.').map(quoteName).join('.')
    this.#by = quoteName(source.by)
    this.#fields = source.fields
    this.#analytics = analytics
  }

  async ask(keys: readonly string[]): Promise<readonly Answer[]> {
    const rows = await this.#rowsOf(keys)
    const found = new Map<string, JsonObject>()
    for (const { [keyColumn]: key, ...row } of rows) if (typeof key === 'string') found.set(key, row)
    return keys.map((key): Answer => {
      const value: Json | undefined = found.get(key)
      return value === undefined ? { found: false } : { found: true, value }
    })
  }

  /** In several queries if the rows of one would be more than a query may answer. */
  async #rowsOf(keys: readonly string[]): Promise<readonly JsonObject[]> {
    try {
      return await this.#rows(keys)
    } catch (error) {
      if (keys.length === 1 || errorCode(error) !== 'query_too_large') throw error
      const middle = Math.ceil(keys.length / 2)
      const first = await this.#rowsOf(keys.slice(0, middle))
      return [...first, ...(await this.#rowsOf(keys.slice(middle)))]
    }
  }

  async #rows(keys: readonly string[]): Promise<readonly JsonObject[]> {
    try {
      this.#sql ??= this.#select(await this.#keyType())
      return (await this.#analytics.query(this.#sql, { keys })).rows
    } catch (error) {
      this.#sql = undefined
      throw tableError(error, this.#table)
    }
  }

  /** Keys are compared as values of the column's type, so that ClickHouse can use the table's order. */
  #select(type: string): string {
    const columns = this.#fields === undefined ? '*' : this.#fields.map(quoteName).join(', ')
    const wanted = `SELECT accurateCastOrNull(arrayJoin({keys:Array(String)}), ${quoteText(type)})`
    return [
      `SELECT toString(${this.#by}) AS ${keyColumn}, ${columns} FROM ${this.#table}`,
      `WHERE ${this.#by} IN (${wanted}) LIMIT 1 BY ${this.#by}`,
    ].join(' ')
  }

  async #keyType(): Promise<string> {
    const { columns } = await this.#analytics.query(`SELECT ${this.#by} FROM ${this.#table} LIMIT 0`)
    return (columns[0]?.type ?? 'String').replace(/^LowCardinality\((.*)\)$/, '$1').replace(/^Nullable\((.*)\)$/, '$1')
  }
}

/** A table may be made by another pipeline yet, and a query that took too long may be quicker next time. */
function tableError(error: unknown, table: string): unknown {
  if (!(error instanceof InvalidInput)) return error
  const detail = { code: error.code, message: `lookup in ${table}: ${error.message}`, cause: error }
  const passing = error.code !== 'query_failed' || error.hint === 'UNKNOWN_TABLE' || error.hint === 'UNKNOWN_DATABASE'
  return passing ? new Retryable(detail) : new Fatal(detail)
}

function quoteName(name: string): string {
  return `\`${name.replace(/[\\`]/g, '\\$&')}\``
}

function quoteText(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`
}
