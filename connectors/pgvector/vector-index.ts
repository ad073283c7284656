import type { Database, Run } from './database.ts'
import { pointColumns } from './rows.ts'
import { wordIndexTarget } from './words.ts'

/** HNSW can hold so many numbers of a vector, and so many of half precision (pgvector, "HNSW"). */
const widestVector = 2_000
const widestHalf = 4_000
/** After so many points written it is looked whether the table has grown large. */
const lookEvery = 5_000

export interface IndexPlan {
  readonly table: string
  readonly dimension: number
  /** Tables smaller than this are searched exactly, row by row. */
  readonly fromRows: number
}

/**
 * The indexes of a table, built while others read and write: that of words at once, and when the table has grown the HNSW
 * index, without which the nearest rows are found exactly.
 */
export class VectorIndex {
  readonly #database: Database
  readonly #plan: IndexPlan
  #written: number = lookEvery
  #indexed = false
  #hasWords = false
  #building: Promise<void> | undefined
  readonly #closing = new AbortController()

  constructor(database: Database, plan: IndexPlan) {
    this.#database = database
    this.#plan = plan
  }

  /** After each write. */
  wrote(points: number): void {
    this.#written += points
    if (this.#written < lookEvery || this.#isComplete) return
    this.#written = 0
    this.#building ??= this.#build()
      // An index that cannot be built costs speed, not matches; a later write tries again.
      .catch(() => undefined)
      .finally(() => {
        this.#building = undefined
      })
  }

  /** Gives up what is being built: it may take hours, and whoever writes next begins anew. */
  async close(): Promise<void> {
    this.#closing.abort()
    await this.#building
  }

  /**
   * The `$2` rows nearest to `$1` for which `where` holds, best first, with their exact scores. An index that gives out
   * before there are as many is left aside.
   */
  async search(
    doing: string,
    table: string,
    where: string,
    parameters: readonly unknown[],
  ): Promise<readonly object[]> {
    const sql = this.#sql(table, where)
    const rows = await this.#database.query(doing, sql, parameters)
    const wanted = Number(parameters[1])
    if (rows.length >= wanted || !(await this.#isIndexed())) return rows
    return this.#database.transaction(doing, async (run: Run) => {
      await run('SET LOCAL enable_indexscan = off')
      return run(sql, parameters)
    })
  }

  #sql(table: string, where: string): string {
    const { dimension } = this.#plan
    const expression = this.#expression ?? 'embedding'
    const type = expression === 'embedding' ? 'vector' : `halfvec(${dimension})`
    return `
      SELECT ${pointColumns}, 1 - (embedding <=> $1::vector) AS score FROM (
        SELECT ${pointColumns}, embedding FROM ${table} WHERE ${where}
        ORDER BY ${expression} <=> $1::${type} LIMIT $2
      ) AS nearest ORDER BY embedding <=> $1::vector, id`
  }

  /** What is indexed, or undefined if nothing can be. */
  get #expression(): string | undefined {
    const { dimension } = this.#plan
    if (dimension <= widestVector) return 'embedding'
    return dimension <= widestHalf ? `(embedding::halfvec(${dimension}))` : undefined
  }

  get #name(): string {
    return `${this.#plan.table}_hnsw`
  }

  get #isComplete(): boolean {
    return this.#hasWords && (this.#indexed || this.#expression === undefined)
  }

  /** Another process may have built it. */
  async #isIndexed(): Promise<boolean> {
    if (this.#indexed) return true
    this.#indexed = (await this.#state(this.#name)) === true
    return this.#indexed
  }

  /** Whether an index is valid; undefined if it is not there. */
  async #state(name: string): Promise<boolean | undefined> {
    const sql = `SELECT indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
      JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = 'millrace' AND relname = $1`
    const [row] = await this.#database.query('looking for an index', sql, [name])
    return row === undefined ? undefined : row.indisvalid === true
  }

  /** One process at a time. An index that is there and not valid is what a process left behind that did not finish. */
  async #create(name: string, target: string): Promise<void> {
    const doing = 'building an index'
    await this.#database.patient(doing, (run) => this.#createAlone(run, name, target), this.#closing.signal)
  }

  async #createAlone(run: Run, name: string, target: string): Promise<void> {
    const [lock] = await run('SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS mine', [name])
    if (lock?.mine !== true) return
    try {
      const state = await this.#state(name)
      if (state === true) return
      if (state === false) await run(`DROP INDEX CONCURRENTLY IF EXISTS millrace."${name}"`)
      await run(`CREATE INDEX CONCURRENTLY "${name}" ON millrace."${this.#plan.table}" ${target}`)
    } finally {
      await run('SELECT pg_advisory_unlock(hashtextextended($1, 0))', [name])
    }
  }

  async #build(): Promise<void> {
    await this.#buildWords()
    if (this.#expression === undefined || (await this.#isIndexed())) return
    const { table, fromRows } = this.#plan
    const large = `SELECT count(*) AS n FROM (SELECT 1 FROM millrace."${table}" LIMIT $1) AS rows`
    const [row] = await this.#database.query('counting', large, [fromRows])
    if (Number(row?.n) < fromRows) return
    const operators = this.#expression === 'embedding' ? 'vector_cosine_ops' : 'halfvec_cosine_ops'
    await this.#create(this.#name, `USING hnsw (${this.#expression} ${operators})`)
    await this.#isIndexed()
  }

  async #buildWords(): Promise<void> {
    const name = `${this.#plan.table}_words`
    if (this.#hasWords) return
    if ((await this.#state(name)) !== true) await this.#create(name, wordIndexTarget)
    this.#hasWords = (await this.#state(name)) === true
  }
}
