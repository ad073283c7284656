import { z } from 'zod'
import type { Json } from '../core/event.ts'
import type { LaneState } from '../core/state.ts'
import { mostWords, type WordCounts } from './cluster-words.ts'
import { textOfVector, vectorOfText } from './vector-text.ts'

/** A cluster as it stands after some event. */
export interface Cluster {
  /** The position of the event that founded it; `#n` follows for the second, third, … of one position, n from 1. */
  readonly id: string
  /** Its place in the state; a forgotten one's is used again. */
  readonly slot: number
  /** Of length 1. */
  readonly centroid: Float32Array
  readonly words: WordCounts
  /** Events that have joined it so far. */
  size: number
  /** Number of the one that joined last, as the lane counts events: the larger, the later. */
  met: number
}

export interface StateHead {
  /** Fingerprint of the model whose vectors they are. */
  readonly model: string
  /** How many slots are or were in use. */
  readonly slots: number
  /** The offset that founded last, and how many clusters it founded. */
  readonly founder: readonly [offset: number, clusters: number]
}

const storedHead = z.object({ model: z.string(), slots: z.int().min(0), founder: z.tuple([z.int(), z.int()]) })
const storedCluster = z.object({
  id: z.string(),
  size: z.int().min(1),
  met: z.int(),
  centroid: z.string(),
  words: z.array(z.union([z.string(), z.int()])).max(2 * mostWords),
})

/**
 * State: `head` → StateHead; `c<slot>` → a cluster: its centroid as text, and its words with their counts by turns, the
 * word that was met last at the end. Clusters of another dimension are left out.
 */
export async function readClusters(
  state: LaneState,
  dimension: number,
): Promise<{ readonly head: StateHead | undefined; readonly clusters: readonly Cluster[] }> {
  const [stored] = await state.get([headKey])
  const head = storedHead.safeParse(stored).data
  const slots = Array.from({ length: head?.slots ?? 0 }, (_, slot) => slot)
  const values = slots.length === 0 ? [] : await state.get(slots.map(slotKey))
  return { head, clusters: slots.flatMap((slot) => readCluster(slot, values[slot], dimension) ?? []) }
}

export function writeHead(state: LaneState, { model, slots, founder }: StateHead, offset: number): void {
  state.set(headKey, { model, slots, founder }, offset)
}

export function writeCluster(state: LaneState, cluster: Cluster, offset: number): void {
  const { id, size, met } = cluster
  const [centroid, words] = [textOfVector(cluster.centroid), [...cluster.words].flat()]
  state.set(slotKey(cluster.slot), { id, size, met, centroid, words }, offset)
}

export function deleteCluster(state: LaneState, slot: number, offset: number): void {
  state.set(slotKey(slot), undefined, offset)
}

function readCluster(slot: number, stored: Json | undefined, dimension: number): Cluster | undefined {
  const cluster = storedCluster.safeParse(stored).data
  const centroid = vectorOfText(cluster?.centroid ?? '', dimension)
  if (cluster === undefined || centroid === undefined) return undefined
  const { id, size, met, words } = cluster
  return { id, slot, size, met, centroid, words: countsOf(words) }
}

function countsOf(words: readonly (string | number)[]): WordCounts {
  const counts: WordCounts = new Map()
  for (const [index, word] of words.entries()) {
    const count = words[index + 1]
    if (typeof word === 'string' && typeof count === 'number') counts.set(word, count)
  }
  return counts
}

const headKey = 'head'

function slotKey(slot: number): string {
  return `c${slot}`
}
