import type { Embedder } from '../core/embedder.ts'
import { Fatal, Retryable } from '../core/errors.ts'
import type { Expression } from '../core/expression.ts'
import type { Collection, StoredPoint, VectorPoint } from '../core/vector-store.ts'

export interface TakeOverOptions {
  readonly old: Collection
  readonly next: Collection
  readonly embedder: Embedder
  /** The text of a point, whose fields it sees as `value`. */
  readonly textOf: Expression<string>
  readonly signal: AbortSignal
}

/**
 * Embeds everything that a collection holds into another one, and tells after each page how many points that were. Done
 * again, it writes the same; texts that were embedded before come from the cache. Throws `Fatal` (`scan_unsupported`,
 * `text_failed`), `Retryable` of the stores.
 */
export async function* takeOver({ old, next, embedder, textOf, signal }: TakeOverOptions): AsyncIterable<number> {
  if (old.scan === undefined) {
    throw new Fatal({
      code: 'scan_unsupported',
      message: `The store cannot list what is in "${old.spec.name}", so it can only be made anew from the log: leave --text out.`,
    })
  }
  let done = 0
  for await (const page of old.scan()) {
    if (signal.aborted) return
    const vectors = await embedder.embed(
      page.map((point) => text(point, textOf)),
      { signal },
    )
    const points = page.flatMap((point, index): VectorPoint[] => {
      const vector = vectors[index]
      return vector === undefined ? [] : [{ ...point, vector }]
    })
    const [refused] = await next.upsert(points)
    if (refused !== undefined) {
      throw new Retryable({
        code: 'point_refused',
        message: `The store refuses ${points[refused.index]?.id}: ${refused.message}`,
      })
    }
    done += page.length
    yield done
  }
}

function text({ id, fields, timestamp, position }: StoredPoint, textOf: Expression<string>): string {
  try {
    return textOf({ value: fields, key: null, headers: {}, timestamp, position })
  } catch (error) {
    const message = `The text of ${id} cannot be made from its fields: ${error instanceof Error ? error.message : error}`
    throw new Fatal({ code: 'text_failed', message, hint: 'Use has(value.field) where a field may be missing.' })
  }
}
