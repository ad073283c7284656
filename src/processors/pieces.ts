import type { Failure, Outcome } from '../core/component.ts'
import { type Event, isTombstone, type Json, noVectors, positionId } from '../core/event.ts'
import type { LaneState } from '../core/state.ts'

/** What one event is cut into: the value of each piece, in order, or why it cannot be cut. */
export type Cut = readonly Json[] | Failure

/**
 * One event to many, for processors that are `stateful` and take `tombstones`. `cuts` stands beside the batch, by index;
 * what it has for tombstones does not matter. A piece is its event with another value and the id `<id>#<n>`, n from 0.
 *
 * An event whose id is not its position may come again, shorter, or as a tombstone. So that no piece of it outlives it,
 * the number of its pieces is remembered in the state under its id, and tombstones are made for those that are no more.
 */
export async function inPieces(batch: readonly Event[], cuts: readonly Cut[], state: LaneState): Promise<Outcome[]> {
  const counts = await rememberedCounts(batch, state)
  return batch.map((event, index) => {
    const cut = isTombstone(event) ? [] : (cuts[index] ?? [])
    if ('failed' in cut) return cut
    if (isPositional(event)) return isTombstone(event) ? event : cut.map((value, n) => piece(event, n, value))
    const before = counts.get(event.id) ?? 0
    if (before !== cut.length) {
      counts.set(event.id, cut.length)
      state.set(event.id, cut.length === 0 ? undefined : cut.length, event.position.offset)
    }
    const pieces = cut.map((value, n) => piece(event, n, value))
    for (let n = cut.length; n < before; n++) pieces.push(piece(event, n, null))
    return pieces
  })
}

async function rememberedCounts(batch: readonly Event[], state: LaneState): Promise<Map<string, number>> {
  const ids = [...new Set(batch.filter((event) => !isPositional(event)).map((event) => event.id))]
  const counts = new Map<string, number>()
  if (ids.length === 0) return counts
  for (const [index, count] of (await state.get(ids)).entries()) {
    const id = ids[index]
    if (id !== undefined && typeof count === 'number') counts.set(id, count)
  }
  return counts
}

/** No two events share a position, so what was made of it is never replaced. */
export function isPositional({ id, position }: Event): boolean {
  const own = positionId(position)
  return id === own || id.startsWith(`${own}#`)
}

function piece(event: Event, n: number, value: Json): Event {
  return { ...event, id: `${event.id}#${n}`, value, vectors: value === null ? noVectors : event.vectors }
}
