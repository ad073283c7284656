import { Retryable } from '../../src/core/errors.ts'

/** What may wait for its turn before further appends are refused. */
const mostBytes = 256 * 1024 * 1024
/** What waits for longer is refused: whoever appends is told in time that Kafka does not take it. */
const mostMs = 30_000
/** What an append takes in memory besides its records, roughly. */
const besidesBytes = 1024

/** What waits to be appended, in memory. */
export class Backlog {
  #bytes = 0

  /** Throws `Retryable` (`log_unavailable`) when too much is waiting; a first append may be of any size. */
  add(bytes: number): void {
    if (this.#bytes > 0 && this.#bytes + bytes > mostBytes)
      throw new Retryable({
        code: 'log_unavailable',
        message: `Kafka is ${mostBytes >> 20} MiB behind in taking appends: try again shortly`,
        delayMs: 100,
      })
    this.#bytes += bytes + besidesBytes
  }

  remove(bytes: number): void {
    this.#bytes -= bytes + besidesBytes
  }
}

interface Waiting {
  /** When it was submitted, as `Date.now()`. */
  readonly since: number
  readonly reject: (error: unknown) => void
}

/** The jobs that can still be sent; those that have waited for too long are refused. */
export function inTime<T extends Waiting>(jobs: readonly T[]): T[] {
  const oldest = Date.now() - mostMs
  if (jobs.every(({ since }) => since >= oldest)) return [...jobs]
  const late = new Retryable({
    code: 'log_unavailable',
    message: `Kafka has taken no append for ${mostMs / 1000} seconds: try again shortly`,
  })
  for (const { since, reject } of jobs) if (since < oldest) reject(late)
  return jobs.filter(({ since }) => since >= oldest)
}
