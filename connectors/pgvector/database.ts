import type { Pool, PoolClient, QueryResult } from 'pg'
import { isAnswer, isConflict, storeFailure } from './failure.ts'

type Row = Readonly<Record<string, unknown>>

const attempts = 5
const longestStatementMs = 60_000
/** How much later than the server itself we take a statement for lost: its end of the connection may be gone. */
const graceMs = 5_000
/** Longer than anything takes. */
const patienceMs = 2 ** 31 - 1
/**
 * How connections search through an index: it is read on until there are as many matches as asked for, whatever the filter
 * leaves out, and not only among the nearest few.
 */
const sessionSettings = (statementMs: number) =>
  [
    `SET statement_timeout = ${statementMs}`,
    `SET idle_in_transaction_session_timeout = ${statementMs}`,
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
  readonly #statementMs: number
  readonly #answerMs: number

  /** A statement that takes longer than `statementMs` fails, whether the server ends it or does not answer any more. */
  constructor(pool: Pool, statementMs = longestStatementMs, lostAfterMs = graceMs) {
    this.#pool = pool
    this.#answerMs = statementMs + lostAfterMs
    this.#statementMs = statementMs
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
        // Any other connection is closed, and its transaction with it.
        if (isAnswer(error)) await client.query('ROLLBACK').catch(() => undefined)
        throw error
      }
    })
  }

  /** Statements that may take as long as they need, outside any transaction, on one connection. The signal ends them. */
  patient(doing: string, work: (run: Run) => Promise<void>, signal: AbortSignal): Promise<void> {
    return this.#attempt(doing, async (run, client) => {
      const [row] = await run('SELECT pg_backend_pid() AS pid')
      const cancel = () => {
        this.query(`no longer ${doing}`, 'SELECT pg_cancel_backend($1)', [row?.pid]).catch(() => undefined)
      }
      signal.addEventListener('abort', cancel)
      await run('SET statement_timeout = 0')
      try {
        await work((sql, parameters) => {
          signal.throwIfAborted()
          return send(client, sql, parameters, patienceMs)
        })
      } finally {
        signal.removeEventListener('abort', cancel)
        await run(`SET statement_timeout = ${this.#statementMs}`)
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
    // One on which something is still under way must not be used again.
    let broken = false
    const onError = () => {
      broken = true
    }
    client.on('error', onError)
    try {
      if (!this.#prepared.has(client)) {
        await send(client, sessionSettings(this.#statementMs), undefined, this.#answerMs)
        this.#prepared.add(client)
      }
      return await work((sql, parameters) => send(client, sql, parameters, this.#answerMs), client)
    } catch (error) {
      broken ||= !isAnswer(error)
      throw error
    } finally {
      client.off('error', onError)
      client.release(broken)
    }
  }
}

async function send(
  client: PoolClient,
  text: string,
  parameters: readonly unknown[] | undefined,
  timeoutMs: number,
): Promise<Row[]> {
  const statement = { text, query_timeout: timeoutMs, ...(parameters === undefined ? {} : { values: [...parameters] }) }
  const result: QueryResult<Row> = await client.query<Row>(statement)
  return result.rows
}
