import type { Json } from '../core/event.ts'
import type { LaneState, StateChange, StateReader } from '../core/state.ts'

interface Pending {
  readonly offset: number
  readonly value: Json | undefined
}

/**
 * What the stateful processors of one lane remember: the committed state under the changes that are not yet committed.
 * A change leaves here in the commit of its offset, so a replay finds the state as it stood at the committed position.
 */
export class LaneStates {
  readonly #committed: StateReader
  /** Uncommitted changes by key, oldest first. */
  readonly #pending = new Map<string, Pending[]>()

  constructor(committed: StateReader) {
    this.#committed = committed
  }

  /** The part of the state that belongs to one processor. */
  scope(component: string): LaneState {
    const full = (key: string) => `${component}\u0000${key}`
    return {
      get: (keys) => this.#get(keys.map(full)),
      set: (key, value, offset) => this.#set(full(key), { value, offset }),
    }
  }

  /** The changes that offsets below `end` caused, the last one of each key. */
  below(end: number): StateChange[] {
    const changes: StateChange[] = []
    for (const [key, pending] of this.#pending) {
      const last = pending.findLast((change) => change.offset < end)
      if (last) changes.push({ key, value: last.value })
    }
    return changes
  }

  /** To be called once the changes below `end` are committed. */
  forget(end: number): void {
    for (const [key, pending] of this.#pending) {
      const rest = pending.filter((change) => change.offset >= end)
      if (rest.length === 0) this.#pending.delete(key)
      else this.#pending.set(key, rest)
    }
  }

  async #get(keys: readonly string[]): Promise<(Json | undefined)[]> {
    const values = new Map<string, Json | undefined>()
    // Taken now: by the time the committed state answers, a change may have left here for there.
    for (const key of keys) {
      const pending = this.#pending.get(key)
      if (pending) values.set(key, pending.at(-1)?.value)
    }
    const missing = keys.filter((key) => !values.has(key))
    const found = missing.length === 0 ? [] : await this.#committed.get(missing)
    for (const [index, key] of missing.entries()) values.set(key, found[index])
    return keys.map((key) => values.get(key))
  }

  #set(key: string, change: Pending): void {
    const pending = this.#pending.get(key)
    if (pending) pending.push(change)
    else this.#pending.set(key, [change])
  }
}
