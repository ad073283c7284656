import fc from 'fast-check'
import type { Outcome, Processor } from '../../src/core/component.ts'
import { Retryable } from '../../src/core/errors.ts'
import type { Event, Json } from '../../src/core/event.ts'
import type { LaneState, StateChange, StateScope, StateStore } from '../../src/core/state.ts'
import { LaneStates } from '../../src/engine/lane-state.ts'

/** What becomes of a lane until its process dies. */
export interface Life {
  /** Events in each of its batches. */
  readonly batches: readonly number[]
  /** How far the commit gets after each batch, of what was processed by then: 0 to 1, by turns. */
  readonly commits: readonly number[]
  /** Which reads of the state fail, from 0. The batch is tried again then. */
  readonly failures: readonly number[]
  /** Whether its last commit does not come about, though its state is prepared for it. */
  readonly halfCommitted: boolean
}

export const lives: fc.Arbitrary<readonly Life[]> = fc.array(
  fc.record({
    batches: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 }),
    commits: fc.array(fc.constantFrom(0, 0.3, 0.7, 1), { minLength: 1, maxLength: 4 }),
    failures: fc.array(fc.nat({ max: 12 }), { maxLength: 4 }),
    halfCommitted: fc.boolean(),
  }),
  { maxLength: 5 },
)

export type Happened = readonly (readonly [index: number, outcome: Outcome])[]

/**
 * Everything that comes out of a lane that dies at the end of each life and finally comes through: each event's index and
 * outcome, again for each replay. Indexes stand for offsets. What was not committed is lost at a death.
 */
export async function through(
  lives: readonly Life[],
  events: readonly Event[],
  create: () => Promise<Processor>,
  store: Pick<StateStore, 'takeOver'> = new MemoryStore(),
): Promise<Happened> {
  const happened: (readonly [number, Outcome])[] = []
  let from = 0
  const survivor: Life = { batches: events.map(() => 3), commits: [0], failures: [], halfCommitted: false }
  for (const { batches, commits, failures, halfCommitted } of [...lives, survivor]) {
    const scope = await store.takeOver('p/t/0', from)
    const states = new LaneStates(scope)
    const state = failing(states.scope('p'), new Set(failures))
    const processor = await create()
    let at = from
    let turn = 0
    for (const [index, size] of batches.entries()) {
      const batch = events.slice(at, at + size)
      if (batch.length === 0) break
      const outcomes = await untilDone(() => processor.process(batch, { state, signal: new AbortController().signal }))
      if (outcomes.length !== batch.length) throw new Error('not one outcome for each event')
      for (const [nth, outcome] of outcomes.entries()) happened.push([at + nth, outcome])
      at += batch.length
      const end = from + Math.floor((at - from) * (commits[turn++ % commits.length] ?? 0))
      await scope.prepare(end, states.below(end))
      if (halfCommitted && index === batches.length - 1) break
      states.forget(end)
      from = end
    }
  }
  return happened
}

/** State that is as it was when it was last committed, for whoever takes it over. */
class MemoryStore {
  #committed = new Map<string, Json>()
  #prepared: { readonly from: number; readonly values: Map<string, Json> } | undefined

  async takeOver(_scope: string, committed: number): Promise<StateScope> {
    if (this.#prepared !== undefined && this.#prepared.from <= committed) this.#committed = this.#prepared.values
    this.#prepared = undefined
    const values = () => this.#prepared?.values ?? this.#committed
    return {
      get: (keys) => Promise.resolve(keys.map((key) => values().get(key))),
      async *scan() {},
      prepare: (from, changes) => Promise.resolve(this.#prepare(from, changes)),
    }
  }

  #prepare(from: number, changes: readonly StateChange[]): void {
    if (changes.length === 0) return
    if (this.#prepared !== undefined && this.#prepared.from < from) this.#committed = this.#prepared.values
    const values = new Map(this.#prepared?.values ?? this.#committed)
    for (const { key, value } of changes) {
      if (value === undefined) values.delete(key)
      else values.set(key, structuredClone(value))
    }
    this.#prepared = { from, values }
  }
}

function failing(state: LaneState, failures: ReadonlySet<number>): LaneState {
  let reads = 0
  return {
    get: (keys) =>
      failures.has(reads++)
        ? Promise.reject(new Retryable({ code: 'down', message: 'the state is down' }))
        : state.get(keys),
    set: (key, value, offset) => state.set(key, value, offset),
  }
}

async function untilDone<T>(attempt: () => T | Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof Retryable)) throw error
    }
  }
}
