import type { MillraceError } from './errors.ts'

/** Redis hashes that others keep, read by lookups. */
export interface Hashes {
  /**
   * The fields of each hash, by index; undefined for a key that is not there, an error for one that holds something else.
   * `fields` leaves out all others. Throws `Retryable` when the server is down.
   */
  get(
    keys: readonly string[],
    fields?: readonly string[],
  ): Promise<(Readonly<Record<string, string>> | MillraceError | undefined)[]>
}
