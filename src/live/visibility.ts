import { isJsonObject, type Json } from '../core/event.ts'
import type { LiveLog } from '../core/live-log.ts'
import type { RowFilter, RowValue } from '../core/principal.ts'
import { ChannelEvent } from './channel-event.ts'

/** Values of the fields that row filters name, in their order; undefined where an event has none that could match. */
type Row = readonly (RowValue | undefined)[]

/** How far back the log is read for what retractions may retract, and how many ids are remembered. */
const rememberedEvents = 10_000
const rememberedIds = 2 * rememberedEvents
/** Ids that one which catches up remembers besides. */
const rememberedAlone = 2_000
const pageEvents = 500
/** Of one id that changed hands: each of the last few who saw it is told when it is retracted. */
const rowsPerId = 4
/** A longer text is not remembered, so that what is remembered stays small: nobody is told of its retraction. */
const longestText = 256

/** What of a channel a group of subscribers sees: events on which an alternative of its row filter holds. */
export class Visibility {
  readonly #alternatives: readonly (readonly { readonly field: number; readonly value: RowValue }[])[]
  readonly #memory: RowMemory
  readonly #release: () => void

  constructor(rows: RowFilter, memory: RowMemory, release: () => void) {
    this.#memory = memory
    this.#release = release
    this.#alternatives = rows.map((alternative) =>
      Object.entries(alternative).map(([name, value]) => ({ field: memory.fields.indexOf(name), value })),
    )
  }

  /** A retraction has no fields: it is seen by those who could see what it retracts, as far as that is remembered. */
  readonly sees = (event: ChannelEvent): boolean =>
    event.retracts ? this.#remembers(event.event.id) : this.#holdsOn(this.#memory.rowOf(event))

  /** `sees` for one that reads the log by itself, in order: it also knows what it has come by before the retraction. */
  alone(): (event: ChannelEvent) => boolean {
    const older = new Set<string>()
    return (event) => {
      const { id } = event.event
      if (event.retracts) return this.sees(event) || older.has(id)
      if (!this.sees(event)) return false
      // What the channel remembers need not be remembered here; it may not have come as far, and know an earlier one only.
      if (!this.#remembers(id)) addBounded(older, id, rememberedAlone)
      return true
    }
  }

  /** To be called once. */
  release(): void {
    this.#release()
  }

  /** Whether an event of this id could be seen, as far as the channel has come and remembers. */
  #remembers(id: string): boolean {
    return this.#memory.rowsOf(id).some((row) => this.#holdsOn(row))
  }

  #holdsOn(row: Row): boolean {
    return this.#alternatives.some((alternative) => alternative.every(({ field, value }) => row[field] === value))
  }
}

/** For each of the newest ids of a channel, what its events had in some fields. */
class RowMemory {
  readonly fields: readonly string[]
  readonly #paths: readonly (readonly string[])[]
  readonly #byId = new Map<string, readonly Row[]>()
  /** Made once for each event, however many groups ask for it. */
  readonly #rows = new WeakMap<ChannelEvent, Row>()

  constructor(fields: readonly string[]) {
    this.fields = fields
    this.#paths = fields.map((field) => field.split('.'))
  }

  note(events: readonly ChannelEvent[]): void {
    for (const event of events) if (!event.retracts) this.#note(event.event.id, this.rowOf(event))
    for (const id of this.#byId.keys()) {
      if (this.#byId.size <= rememberedIds) break
      this.#byId.delete(id)
    }
  }

  rowOf(event: ChannelEvent): Row {
    const known = this.#rows.get(event)
    if (known) return known
    const row = this.#paths.map((path) => valueAt(event.event.value, path))
    this.#rows.set(event, row)
    return row
  }

  /** What was noted of an id, whenever it was. */
  rowsOf(id: string): readonly Row[] {
    return this.#byId.get(id) ?? []
  }

  #note(id: string, row: Row): void {
    if (row.some((value) => typeof value === 'string' && value.length > longestText)) return
    const others = this.rowsOf(id).filter((other) => other.some((value, index) => value !== row[index]))
    // Deleted first, so that ids stay in the order in which they were noted last.
    this.#byId.delete(id)
    this.#byId.set(id, [...others, row].slice(-rowsPerId))
  }
}

/** What one channel remembers for retractions: a memory for each set of fields that row filters name, while they do. */
export class RowMemories {
  readonly #kept = new Map<string, { memory: RowMemory; filled: Promise<void>; users: number }>()

  /** To be called with all that the channel hands out, before it is matched. */
  note(events: readonly ChannelEvent[]): void {
    for (const { memory } of this.#kept.values()) memory.note(events)
  }

  /** The visibility of a row filter, once what the channel's newest events say about its fields is known. */
  async open(rows: RowFilter, log: LiveLog, channel: string): Promise<Visibility> {
    const fields = [...new Set(rows.flatMap((alternative) => Object.keys(alternative)))].sort()
    const key = JSON.stringify(fields)
    const memory = new RowMemory(fields)
    const kept = this.#kept.get(key) ?? { memory, filled: fill(memory, log, channel), users: 0 }
    this.#kept.set(key, kept)
    kept.users++
    const release = () => {
      if (--kept.users === 0 && this.#kept.get(key) === kept) this.#kept.delete(key)
    }
    try {
      await kept.filled
      return new Visibility(rows, kept.memory, release)
    } catch (error) {
      // Whoever comes next tries again.
      if (this.#kept.get(key) === kept) this.#kept.delete(key)
      throw error
    }
  }
}

async function fill(memory: RowMemory, log: LiveLog, channel: string): Promise<void> {
  const { first, next } = await log.head(channel)
  for (let from = Math.max(first, next - rememberedEvents); from < next; ) {
    const page = await log.read(channel, from, pageEvents)
    memory.note(page.map((event) => new ChannelEvent(channel, event)))
    const last = page.at(-1)
    if (!last) return
    from = last.offset + 1
  }
}

function valueAt(value: Json, path: readonly string[]): RowValue | undefined {
  let found: Json | undefined = value
  for (const name of path) {
    if (!isJsonObject(found) || !Object.hasOwn(found, name)) return undefined
    found = found[name]
  }
  return typeof found === 'object' ? undefined : found
}

function addBounded(ids: Set<string>, id: string, limit: number): void {
  ids.add(id)
  const [oldest] = ids
  if (ids.size > limit && oldest !== undefined) ids.delete(oldest)
}
