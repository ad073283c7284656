import { type DeltaFrame, deltaKeys, type EventFrame, type JsonValue } from '../live/protocol.ts'

interface Base {
  readonly offset: number
  readonly value: JsonValue
}

/** The last value of each of the keys that came last: what the deltas of a subscription apply to. */
export class LastValues {
  readonly #bases = new Map<string, Base>()
  /** Of every event from this offset on, the last value of its key is here, as far as `deltaKeys` reach. */
  #from: number | undefined

  /** What to ask the server for. */
  get request(): true | { readonly from: number } {
    return this.#from === undefined ? true : { from: this.#from }
  }

  /** Events after this offset follow; `recovered`: they follow what came before. */
  begin(offset: number, recovered: boolean): void {
    if (this.#from !== undefined && recovered) return
    this.#bases.clear()
    this.#from = offset + 1
  }

  /** Events up to this one may not have come. */
  miss(to: number): void {
    if (this.#from !== undefined && to >= this.#from) this.#from = to + 1
  }

  clear(): void {
    this.#bases.clear()
    this.#from = undefined
  }

  /** The event in full; undefined if what a delta applies to is not here. */
  restore(frame: EventFrame | DeltaFrame): EventFrame | undefined {
    if ('value' in frame) {
      if (frame.key !== null) this.#keep(frame.key, frame.offset, frame.value)
      return frame
    }
    const { base, delta, ...event } = frame
    const known = this.#bases.get(event.key)
    if (known?.offset !== base) return undefined
    const value = mergePatch(known.value, delta)
    this.#keep(event.key, event.offset, value)
    return { ...event, value }
  }

  /** A copy, for what the consumer does to its value must not change later ones. */
  #keep(key: string, offset: number, value: JsonValue): void {
    this.#bases.delete(key)
    this.#bases.set(key, { offset, value: structuredClone(value) })
    if (this.#bases.size <= deltaKeys) return
    for (const oldest of this.#bases.keys()) {
      this.#bases.delete(oldest)
      return
    }
  }
}

/** RFC 7396. */
export function mergePatch(target: JsonValue, patch: JsonValue): JsonValue {
  if (!isObject(patch)) return patch
  // A map, since assigning `__proto__` would not make a field of that name.
  const merged = new Map(isObject(target) ? Object.entries(target) : [])
  for (const [name, change] of Object.entries(patch)) {
    if (change === null) merged.delete(name)
    else merged.set(name, mergePatch(merged.get(name) ?? null, change))
  }
  return Object.fromEntries(merged)
}

function isObject(value: JsonValue): value is { readonly [name: string]: JsonValue } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
