import { createHash } from 'node:crypto'
import type { Event, Json } from '../core/event.ts'
import type { LaneState } from '../core/state.ts'

/** A name for something. State keys must stay short, so long identities are told apart by their SHA-256. */
export function stateName(identity: Json): string {
  const text = typeof identity === 'string' ? `t${identity}` : `j${JSON.stringify(identity)}`
  return text.length <= 64 ? text : `h${createHash('sha256').update(text).digest('base64url')}`
}

/** What has been seen of one batch's names, and before. */
interface Seen {
  /** Whether the event is the first of its name; it is remembered then. To be called in order. */
  admits(name: string, event: Event): boolean
}

export class SeenForEver implements Seen {
  readonly #state: LaneState
  readonly #known: Set<string>

  private constructor(state: LaneState, known: Set<string>) {
    this.#state = state
    this.#known = known
  }

  static async load(state: LaneState, names: readonly string[]): Promise<SeenForEver> {
    const values = names.length === 0 ? [] : await state.get(names.map(nameKey))
    return new SeenForEver(state, new Set(names.filter((_, index) => values[index] !== undefined)))
  }

  admits(name: string, { position }: Event): boolean {
    if (this.#known.has(name)) return false
    this.#known.add(name)
    this.#state.set(nameKey(name), true, position.offset)
    return true
  }
}

interface Entry {
  /** Of the event that was admitted, in milliseconds. */
  readonly timestamp: number
  /** Its number in the queue. */
  readonly number: number
}

/**
 * Remembers for a window of event time. Every admitted event is numbered and queued; each also takes up to two events
 * off the queue's head whose timestamps lie further from its own than the window, on either side. So what is
 * remembered stays in proportion to what a window holds, one odd timestamp neither blocks the queue nor empties it, and
 * which events are forgotten follows from the order of events alone: a replay in other batches decides the same.
 *
 * State: `n<name>` → [timestamp, number]; `q<number>` → name; `queue` → [head, end].
 */
export class SeenWithin implements Seen {
  readonly #state: LaneState
  readonly #window: number
  readonly #entries = new Map<string, Entry>()
  readonly #queue = new Map<number, string>()
  #head = 0
  #end = 0

  private constructor(state: LaneState, window: number) {
    this.#state = state
    this.#window = window
  }

  static async load(state: LaneState, names: readonly string[], window: number): Promise<SeenWithin> {
    const seen = new SeenWithin(state, window)
    if (names.length === 0) return seen
    const [bounds, ...entries] = await state.get(['queue', ...names.map(nameKey)])
    for (const [index, name] of names.entries()) seen.#remember(name, entries[index])
    ;[seen.#head, seen.#end] = pair(bounds) ?? [0, 0]
    await seen.#loadHead(names.length * perAdmission)
    return seen
  }

  /** All that the batch's admissions can take off the queue. */
  async #loadHead(count: number): Promise<void> {
    const numbers = Array.from({ length: Math.min(count, this.#end - this.#head) }, (_, index) => this.#head + index)
    if (numbers.length === 0) return
    const others = new Set<string>()
    for (const [index, name] of (await this.#state.get(numbers.map(queueKey))).entries()) {
      if (typeof name !== 'string') continue
      this.#queue.set(this.#head + index, name)
      if (!this.#entries.has(name)) others.add(name)
    }
    if (others.size === 0) return
    const entries = await this.#state.get([...others].map(nameKey))
    for (const [index, name] of [...others].entries()) this.#remember(name, entries[index])
  }

  admits(name: string, { timestamp, position }: Event): boolean {
    const before = this.#entries.get(name)
    if (before !== undefined && !this.#apart(before.timestamp, timestamp)) return false
    const { offset } = position
    const number = this.#end++
    this.#entries.set(name, { timestamp, number })
    this.#queue.set(number, name)
    this.#state.set(nameKey(name), [timestamp, number], offset)
    this.#state.set(queueKey(number), name, offset)
    for (let turn = 0; turn < perAdmission; turn++) if (!this.#forgetHead(timestamp, offset)) break
    this.#state.set('queue', [this.#head, this.#end], offset)
    return true
  }

  /** Whether the head was taken off. A name that was admitted again since stands further back as well, and stays. */
  #forgetHead(now: number, offset: number): boolean {
    const name = this.#queue.get(this.#head)
    if (name === undefined) return false
    const entry = this.#entries.get(name)
    if (entry?.number === this.#head) {
      if (!this.#apart(entry.timestamp, now)) return false
      this.#entries.delete(name)
      this.#state.set(nameKey(name), undefined, offset)
    }
    this.#queue.delete(this.#head)
    this.#state.set(queueKey(this.#head), undefined, offset)
    this.#head++
    return true
  }

  #apart(a: number, b: number): boolean {
    return Math.abs(a - b) >= this.#window
  }

  #remember(name: string, value: Json | undefined): void {
    const [timestamp, number] = pair(value) ?? []
    if (timestamp !== undefined && number !== undefined) this.#entries.set(name, { timestamp, number })
  }
}

const perAdmission = 2

function nameKey(name: string): string {
  return `n${name}`
}

function queueKey(number: number): string {
  return `q${number}`
}

function pair(value: Json | undefined): readonly [number, number] | undefined {
  if (!Array.isArray(value)) return undefined
  const [first, second]: readonly unknown[] = value
  return typeof first === 'number' && typeof second === 'number' ? [first, second] : undefined
}
