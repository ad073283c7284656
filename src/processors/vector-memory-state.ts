import { setImmediate as nextTurn } from 'node:timers/promises'
import { z } from 'zod'
import type { Json } from '../core/event.ts'
import type { LaneState } from '../core/state.ts'
import { textOfVector, vectorOfText } from './vector-text.ts'

/** What is known of a remembered vector. */
export interface Entry {
  /** Ascends in the order of remembering, and is never used again. */
  readonly number: number
  readonly timestamp: number
  /** Under which it can be found again. */
  readonly name: string | undefined
  readonly count: number
}

export interface Head {
  /** Fingerprint of the model whose vectors they are. */
  readonly model: string
  /** Rows from this one on hold nothing, whatever the state has there. */
  readonly height: number
  /** The next entry's number. */
  readonly end: number
}

export interface StoredRow extends Entry {
  readonly row: number
  readonly vector: Float32Array
}

/*
 * State, by row so that what is free is overwritten:
 *
 *   memory   → [model, height, end]
 *   v<row>   → [number, timestamp, vector as text, name or null]
 *   c<row>   → [number, count], left out for 0
 *   k<row>   → [number, what is kept with it]
 *
 * The number tells what belongs to the row's present entry from what an earlier one has left.
 */
const storedHead = z.tuple([z.string(), z.int().min(0), z.int().min(0)])
const storedVector = z.tuple([z.int(), z.number(), z.string(), z.string().nullable()])

const rowsPerRead = 500

export const headKey = 'memory'
export const vectorKey = (row: number) => `v${row}`
export const countKey = (row: number) => `c${row}`
export const keptKey = (row: number) => `k${row}`

export async function readHead(state: LaneState): Promise<Head | undefined> {
  const [stored] = await state.get([headKey])
  const [model, height, end] = storedHead.safeParse(stored).data ?? []
  return model === undefined || height === undefined || end === undefined ? undefined : { model, height, end }
}

/** Rows below `height` that hold a vector of this dimension, in the order of remembering. Holds nobody up for long. */
export async function readRows(
  state: LaneState,
  { height, dimension, counted }: { readonly height: number; readonly dimension: number; readonly counted: boolean },
): Promise<StoredRow[]> {
  const found: StoredRow[] = []
  for (let from = 0; from < height; from += rowsPerRead) {
    if (from > 0) await nextTurn()
    const rows = Array.from({ length: Math.min(rowsPerRead, height - from) }, (_, index) => from + index)
    const vectors = await state.get(rows.map(vectorKey))
    const counts = counted ? await state.get(rows.map(countKey)) : []
    for (const [index, row] of rows.entries()) {
      const [number, timestamp, text, name] = storedVector.safeParse(vectors[index]).data ?? []
      if (number === undefined || timestamp === undefined || text === undefined) continue
      const vector = vectorOfText(text, dimension)
      const count = Number(besideOf(counts[index], number) ?? 0)
      if (vector !== undefined) found.push({ row, number, timestamp, name: name ?? undefined, count, vector })
    }
  }
  return found.sort((a, b) => a.number - b.number)
}

export function headValue({ model, height, end }: Head): Json {
  return [model, height, end]
}

export function vectorValue({ number, timestamp, name }: Entry, vector: Float32Array): Json {
  return [number, timestamp, textOfVector(vector), name ?? null]
}

/** What is kept with each of these entries, by index. */
export async function readKept(
  state: LaneState,
  entries: readonly { readonly row: number; readonly number: number }[],
): Promise<(Json | undefined)[]> {
  const kept = entries.length === 0 ? [] : await state.get(entries.map(({ row }) => keptKey(row)))
  return entries.map(({ number }, index) => besideOf(kept[index], number))
}

/** What stands beside a row, if it belongs to the entry of this number. */
function besideOf(stored: Json | undefined, number: number): Json | undefined {
  const [owner, value]: readonly Json[] = Array.isArray(stored) ? stored : []
  return owner === number ? value : undefined
}
