import { Forbidden, MillraceError, Retryable } from '../core/errors.ts'
import type { Principal } from '../core/principal.ts'
import type { BoundQuery, Queries } from '../queries/index.ts'
import { LiveQuery, type LiveQueryLimits } from './live-query.ts'
import { type QueryConnection, QueryFlow } from './live-query-flow.ts'
import type { Logger } from './logger.ts'
import type { QueryOptions } from './protocol.ts'
import type { Ending } from './subscription.ts'

export interface SubscribedQuery {
  readonly flow: QueryFlow
  readonly epoch: string
  /** The version that follows, or that the client has if it has `recovered`. */
  readonly offset: number
  readonly recovered: boolean
  /** Why it cannot go on as it is for this principal; undefined if it can. */
  review(principal: Principal): Ending | undefined
  /** To be called once. */
  release(): void
}

/** The queries that someone is subscribed to. Each is run once for all who ask for the same and may see the same. */
export class LiveQueries {
  readonly #queries: Queries
  readonly #limits: LiveQueryLimits
  readonly #logger: Logger
  readonly #live = new Map<string, { readonly query: LiveQuery; users: number }>()
  readonly #running = new Set<Promise<void>>()

  constructor(queries: Queries, limits: LiveQueryLimits, logger: Logger) {
    this.#queries = queries
    this.#limits = limits
    this.#logger = logger
  }

  /**
   * Waits for the first rows. Throws as `Queries.bind` and the query itself, `InvalidInput` (`live_query_too_large`), and
   * `Retryable` (`too_many_live_queries`).
   */
  async subscribe(
    id: string,
    request: QueryOptions & { readonly query: string },
    principal: Principal,
    connection: QueryConnection,
  ): Promise<SubscribedQuery> {
    const { query: name, params = {}, since, maxRate } = request
    const bound = this.#queries.bind(name, params, principal)
    const { query, release } = this.#acquire(bound)
    try {
      await query.first
    } catch (error) {
      release()
      throw error
    }
    const { epoch, version, flows } = query
    const recovered = since?.epoch === epoch && since.offset === version.number
    const flow = new QueryFlow(id, query, connection, { has: recovered ? version.number : undefined, maxRate })
    flows.add(flow)
    return {
      flow,
      epoch,
      offset: version.number,
      recovered,
      review: (current) => this.#review(bound, params, current),
      release: () => {
        flows.delete(flow)
        release()
      },
    }
  }

  /** Resolves when nothing runs any more. */
  async close(): Promise<void> {
    for (const { query } of this.#live.values()) query.stop()
    this.#live.clear()
    await Promise.all(this.#running)
  }

  #acquire(bound: BoundQuery): { readonly query: LiveQuery; release(): void } {
    const { key } = bound
    const entry = this.#live.get(key) ?? this.#begin(bound)
    entry.users += 1
    return {
      query: entry.query,
      release: () => {
        entry.users -= 1
        if (entry.users === 0) entry.query.stop()
        if (entry.users === 0 && this.#live.get(key) === entry) this.#live.delete(key)
      },
    }
  }

  #begin(bound: BoundQuery) {
    if (this.#live.size >= this.#limits.queries) {
      const message = `The server runs ${this.#limits.queries} live queries, and no more at present.`
      throw new Retryable({ code: 'too_many_live_queries', message })
    }
    const query = new LiveQuery(bound, this.#limits, this.#logger)
    const entry = { query, users: 0 }
    this.#live.set(bound.key, entry)
    const { ended } = query
    this.#running.add(ended)
    void ended.finally(() => {
      this.#running.delete(ended)
      // Whoever comes after a failure begins anew.
      if (this.#live.get(bound.key) === entry) this.#live.delete(bound.key)
    })
    return entry
  }

  #review(bound: BoundQuery, params: NonNullable<QueryOptions['params']>, principal: Principal): Ending | undefined {
    try {
      if (this.#queries.bind(bound.name, params, principal).key === bound.key) return undefined
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error
      return { code: error.code, message: error.message, retry: !(error instanceof Forbidden) }
    }
    return {
      code: 'rows_changed',
      message: `What you see of "${bound.name}" has changed: subscribe again.`,
      retry: true,
    }
  }
}
