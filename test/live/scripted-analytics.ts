import type { Analytics, QueryResult } from '../../src/core/analytics.ts'
import type { Json, JsonObject } from '../../src/core/event.ts'
import type { RowFilter } from '../../src/core/principal.ts'

/** Answers every query with what the test says, and tells of changes when the test does. */
export class ScriptedAnalytics implements Analytics {
  rows: readonly JsonObject[] = []
  error: Error | undefined
  /** How often a query was begun, and the most that ran at once. */
  runs = 0
  mostAtOnce = 0
  watching = 0
  asked: { sql: string; params: unknown; rows: RowFilter | undefined }[] = []
  /** While it is set, queries wait for it. */
  held: Promise<void> | undefined
  #running = 0
  readonly #wakes = new Set<() => void>()

  async query(
    sql: string,
    params?: Readonly<Record<string, Json>>,
    signal?: AbortSignal,
    rows?: RowFilter,
  ): Promise<QueryResult> {
    this.runs += 1
    this.#running += 1
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#running)
    this.asked.push({ sql, params, rows })
    try {
      const { rows: found, error } = this
      await this.held
      signal?.throwIfAborted()
      if (error) throw error
      const names = Object.keys(found[0] ?? {})
      return { columns: names.map((name) => ({ name, type: 'String' })), rows: found }
    } finally {
      this.#running -= 1
    }
  }

  async *changes(_tables: readonly string[], signal: AbortSignal): AsyncGenerator<void> {
    let due = true
    let wake: () => void = () => undefined
    const changed = () => {
      due = true
      wake()
    }
    this.#wakes.add(changed)
    this.watching += 1
    signal.addEventListener('abort', changed, { once: true })
    try {
      for (;;) {
        if (!due) {
          await new Promise<void>((resolve) => {
            wake = resolve
          })
        }
        due = false
        if (signal.aborted) return
        yield
      }
    } finally {
      this.#wakes.delete(changed)
      this.watching -= 1
    }
  }

  changed(): void {
    for (const wake of this.#wakes) wake()
  }

  async ensureTable(): Promise<void> {}
  async insert(): Promise<void> {}
  async tables() {
    return []
  }
  async close(): Promise<void> {}
}
