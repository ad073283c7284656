import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { QueryResult } from '../core/analytics.ts'
import { errorMessage, Fatal, Forbidden, InvalidInput, MillraceError, NotFound } from '../core/errors.ts'
import type { BoundQuery } from '../queries/index.ts'
import { Due } from './live-query-due.ts'
import type { QueryFlow } from './live-query-flow.ts'
import { QueryVersion } from './live-query-version.ts'
import type { Logger } from './logger.ts'

export interface LiveQueryLimits {
  /** Different queries that someone is subscribed to, with their parameters and row filters. */
  readonly queries: number
  /** Of the result of each. */
  readonly queryRows: number
  readonly queryBytes: number
  /** Between the end of a run and the next, at least; a run that took longer is followed by a pause as long as it. */
  readonly queryPauseMs: number
}

const longestBackoffMs = 30_000
const watchAgainMs = 1_000

/**
 * One query, run for all who are subscribed to it: again when its tables have changed, or its refresh is over. There is never more
 * than one run; what changes meanwhile is in the next. Stops with the signal.
 */
export class LiveQuery {
  /** New for every life, as versions mean nothing in another. */
  readonly epoch = randomUUID()
  readonly flows = new Set<QueryFlow>()
  /** Resolves with the first version. Rejects if the first run fails, and then there is no second. */
  readonly first: Promise<void>
  /** Resolves when nothing runs any more. */
  readonly ended: Promise<void>
  readonly #bound: BoundQuery
  readonly #limits: LiveQueryLimits
  readonly #logger: Logger
  readonly #stop = new AbortController()
  readonly #due = new Due(this.#stop.signal)
  #version: QueryVersion | undefined

  constructor(bound: BoundQuery, limits: LiveQueryLimits, logger: Logger) {
    this.#bound = bound
    this.#limits = limits
    this.#logger = logger
    const watched = this.#watch()
    this.first = this.#runFirst()
    this.ended = this.first
      .then(() => this.#runOn())
      .then(
        () => watched,
        () => watched,
      )
  }

  /** Asked only after `first`. */
  get version(): QueryVersion {
    if (this.#version === undefined) throw new Error('the query has not run yet')
    return this.#version
  }

  stop(): void {
    this.#stop.abort()
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      try {
        for await (const _ of this.#bound.changes(signal)) this.#due.set()
      } catch {
        // What is wrong is told by the next run.
      }
      this.#due.set()
      await sleep(watchAgainMs, undefined, { signal, ref: false }).catch(() => undefined)
    }
  }

  async #runFirst(): Promise<void> {
    try {
      await this.#due.wait(undefined)
      this.#take(await this.#bound.run(this.#stop.signal))
    } catch (error) {
      this.stop()
      throw error
    }
  }

  async #runOn(): Promise<void> {
    const { signal } = this.#stop
    let pause = this.#limits.queryPauseMs
    for (let failures = 0; ; ) {
      await sleep(pause, undefined, { signal, ref: false }).catch(() => undefined)
      if (failures === 0) await this.#due.wait(this.#bound.refresh)
      if (signal.aborted) return
      const began = performance.now()
      try {
        this.#take(await this.#bound.run(signal))
        failures = 0
      } catch (error) {
        if (signal.aborted) return
        if (cannotWork(error)) return this.#end(error)
        if (failures === 0) this.#tell(error)
        failures += 1
      }
      const { queryPauseMs } = this.#limits
      const backoff = failures === 0 ? 0 : Math.min(longestBackoffMs, queryPauseMs * 2 ** failures)
      pause = Math.max(queryPauseMs, performance.now() - began, backoff)
    }
  }

  /** Throws `InvalidInput` (`live_query_too_large`). */
  #take(result: QueryResult): void {
    const { queryRows, queryBytes } = this.#limits
    if (result.rows.length > queryRows) throw tooLarge(this.#bound.name, `${result.rows.length} rows`, `${queryRows}`)
    const version = this.#version?.next(result) ?? QueryVersion.first(result)
    if (version.bytes > queryBytes) throw tooLarge(this.#bound.name, `${version.bytes} bytes`, `${queryBytes}`)
    if (version === this.#version) return
    this.#version = version
    for (const flow of this.flows) flow.changed()
  }

  #tell(error: unknown): void {
    this.#logger.warn('A live query could not be run and is run again.', {
      query: this.#bound.name,
      error: errorMessage(error),
    })
    for (const flow of this.flows) flow.failed(described(error))
  }

  #end(error: unknown): void {
    for (const flow of [...this.flows]) flow.end({ ...described(error), retry: false })
  }
}

/** Whether another run would fail too, whatever happens meanwhile. One that took too long or too much memory may not. */
function cannotWork(error: unknown): boolean {
  if (error instanceof MillraceError && (error.code === 'query_too_large' || error.code === 'query_cancelled'))
    return false
  return [InvalidInput, Fatal, Forbidden, NotFound].some((kind) => error instanceof kind)
}

function described(error: unknown): { readonly code: string; readonly message: string } {
  if (error instanceof MillraceError) return { code: error.code, message: error.message }
  return { code: 'internal_error', message: 'The server failed on this query.' }
}

function tooLarge(name: string, size: string, limit: string): InvalidInput {
  return new InvalidInput({
    code: 'live_query_too_large',
    message: `The query "${name}" has ${size}, and one that is subscribed to may have ${limit}.`,
    hint: 'Aggregate, add a LIMIT, or run it by POST /v1/queries instead.',
  })
}
