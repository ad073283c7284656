import { z } from 'zod'
import type { Failure, Outcome } from '../core/component.ts'
import { type Event, isJsonObject, isTombstone, type Json, type JsonObject, noVectors } from '../core/event.ts'
import type { LaneState } from '../core/state.ts'
import { withValue } from './outcome.ts'
import { isPositional } from './pieces.ts'
import { stateName } from './seen.ts'
import type { LookUp, VectorMemory } from './vector-memory.ts'
import { readKept } from './vector-memory-state.ts'

export interface NearOptions {
  /** The least cosine similarity of duplicates. */
  readonly minScore: number
  /** The field that takes the number of duplicates. */
  readonly countAs: string | undefined
  /** The name of the vector that is compared, if it has one. */
  readonly vector: string | undefined
  readonly component: string
}

/** What goes out again of a first event. Its value is one that can take a field. */
interface First extends Pick<Event, 'id' | 'key' | 'headers' | 'timestamp'> {
  readonly value: JsonObject
}

/** That an event is the duplicate of a first one, which is to go out again. */
interface Repeat {
  readonly row: number
  /** Of the first event's entry. */
  readonly number: number
  /** Duplicates so far. */
  readonly count: number
  readonly vector: Float32Array
}

/** Bytes of JSON. Larger first events are not kept. */
const largestFirst = 64_000

/**
 * Keeps the events that come near no remembered one, and remembers them. They are compared with those alone that passed
 * themselves, so events of which each is near the next do not grow into one group.
 *
 * An event under the id of a remembered one is its new version: it passes, and is remembered in its place. A tombstone makes
 * it forgotten, so that what is deleted does not come back.
 *
 * `meanings` stands beside the batch, by index; a tombstone has none.
 */
export async function dropNearDuplicates(
  batch: readonly Event[],
  meanings: readonly (Float32Array | Failure | undefined)[],
  memory: VectorMemory,
  state: LaneState,
  options: NearOptions,
): Promise<Outcome[]> {
  const judge = new Judge(memory, options)
  const given = batch.map((event, index) => judge.unlessUncountable(event, meanings[index]))
  const verdicts: (Outcome | { readonly repeat: Repeat })[] = []
  await memory.inTurn(given.map(vectorOf), (index, lookUp) => {
    const event = batch[index]
    if (event !== undefined) verdicts.push(judge.verdict(event, given[index], lookUp))
  })
  const repeats = verdicts.flatMap((verdict) => (isRepeat(verdict) ? [verdict.repeat] : []))
  const firsts = await firstsOf(repeats, judge.firsts, state)
  return verdicts.map((verdict, index) => {
    if (!isRepeat(verdict)) return verdict
    const first = firsts.get(verdict.repeat.number)
    const position = batch[index]?.position
    return first && position ? { ...judge.again(first, verdict.repeat), position } : null
  })
}

class Judge {
  /** The first events of this batch that are kept, by number: the state does not have them yet. */
  readonly firsts = new Map<number, First>()
  readonly #memory: VectorMemory
  readonly #options: NearOptions

  constructor(memory: VectorMemory, options: NearOptions) {
    this.#memory = memory
    this.#options = options
  }

  unlessUncountable({ value }: Event, meaning: Float32Array | Failure | undefined): Float32Array | Failure | undefined {
    const { countAs, component } = this.#options
    if (countAs === undefined || vectorOf(meaning) === undefined || isJsonObject(value)) return meaning
    const message = `${component}: the value is no object, so it cannot take the field "${countAs}". Use "map" before it.`
    return { failed: true, code: 'value_not_object', message }
  }

  /** To be called in order. */
  verdict(
    event: Event,
    meaning: Float32Array | Failure | undefined,
    lookUp: LookUp,
  ): Outcome | { readonly repeat: Repeat } {
    const memory = this.#memory
    const { offset } = event.position
    const name = isPositional(event) ? undefined : stateName(event.id)
    const former = name === undefined ? undefined : memory.rowOf(name)
    if (isTombstone(event)) {
      if (former !== undefined) memory.forget(former, offset)
      return event
    }
    if (meaning === undefined) throw new Error('an event has no meaning')
    if ('failed' in meaning) return meaning
    if (former === undefined) {
      const near = lookUp(event.timestamp, this.#options.minScore)
      if (near !== undefined) return this.#repeat(near, offset)
      return this.#first(event, meaning, name, 0)
    }
    const count = memory.countAt(former)
    memory.forget(former, offset)
    return this.#first(event, meaning, name, count)
  }

  #repeat({ row, number }: { readonly row: number; readonly number: number }, offset: number) {
    if (this.#options.countAs === undefined) return null
    const count = this.#memory.count(row, offset)
    return { repeat: { row, number, count, vector: this.#memory.vectorAt(row) } }
  }

  #first(event: Event, vector: Float32Array, name: string | undefined, count: number): Event {
    const { countAs } = this.#options
    const { id, key, value, headers, timestamp, position } = event
    const entry = { vector, timestamp, offset: position.offset, name, count }
    if (countAs === undefined || !isJsonObject(value)) {
      this.#memory.remember(entry)
      return event
    }
    const keep = [id, key, headers, timestamp, value] as const
    const small = Buffer.byteLength(JSON.stringify(keep)) <= largestFirst
    const number = this.#memory.remember({ ...entry, keep: small ? keep : undefined })
    if (small) this.firsts.set(number, { id, key, value, headers, timestamp })
    return withValue(event, { ...value, [countAs]: count })
  }

  /** The first event as it goes out once more; where is not yet said. */
  again(first: First, { count, vector }: Repeat): Omit<Event, 'position'> {
    const { countAs, vector: name } = this.#options
    const value = countAs === undefined ? first.value : { ...first.value, [countAs]: count }
    return { ...first, value, vectors: name === undefined ? noVectors : { [name]: vector } }
  }
}

/** With those that were kept before this batch and are repeated in it. */
async function firstsOf(
  repeats: readonly Repeat[],
  own: ReadonlyMap<number, First>,
  state: LaneState,
): Promise<ReadonlyMap<number, First>> {
  const earlier = new Map(repeats.filter(({ number }) => !own.has(number)).map((repeat) => [repeat.number, repeat]))
  const asked = [...earlier.values()]
  const firsts = new Map(own)
  for (const [index, kept] of (await readKept(state, asked)).entries()) {
    const first = readFirst(kept)
    const number = asked[index]?.number
    if (first !== undefined && number !== undefined) firsts.set(number, first)
  }
  return firsts
}

const storedFirst = z.tuple([
  z.string(),
  z.string().nullable(),
  z.record(z.string(), z.string()),
  z.number(),
  z.custom<JsonObject>((value) => typeof value === 'object' && value !== null && !Array.isArray(value)),
])

function readFirst(kept: Json | undefined): First | undefined {
  const { data } = storedFirst.safeParse(kept)
  if (data === undefined) return undefined
  const [id, key, headers, timestamp, value] = data
  return { id, key, headers, timestamp, value }
}

function vectorOf(meaning: Float32Array | Failure | undefined): Float32Array | undefined {
  return meaning instanceof Float32Array ? meaning : undefined
}

function isRepeat(verdict: Outcome | { readonly repeat: Repeat }): verdict is { readonly repeat: Repeat } {
  return verdict !== null && 'repeat' in verdict
}
