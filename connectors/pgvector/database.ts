import type { Pool, PoolClient, QueryResult } from 'pg'
import { isConflict, storeFailure } from './failure.ts'

type Row = Readonly<Record<string, unknown>>

const attempts = 5
const longestStatementMs = 60_000
/**
 * How connections search through an index: it is read on until there are as many matches as asked for, whatever the filter
 * leaves out, and not only among the nearest few.
 */
const sessionSettings = [
  `SET statement_timeout = ${longestStatementMs}`,
  `SET idle_in_transaction_session_timeout = ${longestStatementMs}`,
  'SET hnsw.iterative_scan = strict_order',
  'SET hnsw.ef_search = 200',
  'SET hnsw.max_scan_tuples = 100000',
].join('; ')

/** Runs statements on one connection. */
export type Run = (sql: string, parameters?: readonly unknown[]) => Promise<Row[]>

/** A bounded number of connections. Whoever finds none free waits. */
export class Database {
  readonly #pool: Pool
  readonly #prepared = new WeakSet<PoolClient>()

  constructor(pool: Pool) {
    this.#pool = pool
    // A connection that is lost while nobody uses it has been taken out of the pool.
    pool.on('error', () => undefined)
  }

  /** One statement. `doing` says in errors what it was for. A deadlock with others is tried again. */
  query(doing: string, sql: string, parameters: readonly unknown[] = []): Promise<Row[]> {
    return this.#attempt(doing, (run) => run(sql, parameters))
  }

  transaction<T>(doing: string, work: (run: Run) => Promise<T>): Promise<T> {
    return this.#attempt(doing, async (run, client) => {
      await run('BEGIN')
      try {
        const result = await work(run)
        await run('COMMIT')
        return result
      } catch (error) {
        // A connection on which even this fails is closed with its transaction.
        await client.query('ROLLBACK').catch(() => undefined)
        throw error
      }
    })
  }

  /** A statement that may take as long as it needs, outside any transaction. */
  patient(doing: string, sql: string): Promise<void> {
    return this.#attempt(doing, async (run) => {
      await run('SET statement_timeout = 0')
      try {
        await run(sql)
      } finally {
        await run(`SET statement_timeout = ${longestStatementMs}`)
      }
    })
  }

  async close(): Promise<void> {
    await this.#pool.end()
  }

  async #attempt<T>(doing: string, work: (run: Run, client: PoolClient) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#once(work)
      } catch (error) {
        if (attempt < attempts && isConflict(error)) continue
        throw storeFailure(doing, error)
      }
    }
  }

  async #once<T>(work: (run: Run, client: PoolClient) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect()
    let broken = false
    const onError = () => {
      broken = true
    }
    client.on('error', onError)
    try {
      if (!this.#prepared.has(client)) {
        await client.query(sessionSettings)
        this.#prepared.add(client)
      }
      return await work(async (sql, parameters) => {
        const result: QueryResult<Row> = await client.query<Row>(sql, parameters === undefined ? [] : [...parameters])
        return result.rows
      }, client)
    } finally {
      client.off('error', onError)
      client.release(broken)
    }
  }
}
