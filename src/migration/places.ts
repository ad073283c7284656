import { z } from 'zod'
import { NotFound } from '../core/errors.ts'
import type { EventLog } from '../core/event-log.ts'

/** Says, by the name of each collection that was ever moved, where it is. The newest record of a name counts. */
export const placesTopic = 'millrace.collections'

const place = z.object({
  /** The collection of the store that holds it now. */
  current: z.string(),
  /** Where it is being moved to. */
  next: z
    .object({
      name: z.string(),
      fingerprint: z.string(),
      /** What only the store still had has been taken over. */
      scanned: z.boolean(),
    })
    .optional(),
  /** Nobody writes to it until then: the move is about to end. Milliseconds since the Unix epoch. */
  heldUntil: z.number().optional(),
})
export type Place = z.infer<typeof place>

const freshMs = 500
const page = { events: 1_000, bytes: 1_000_000 }
const partition = { topic: placesTopic, partition: 0 }

/** How long after a change of a place every process has heard of it, as long as its clock runs. */
export const heardMs = 3 * freshMs

/** Where the collections are, as the event log has it, so that every process on it sees the same. */
export class Places {
  readonly #log: () => Promise<EventLog>
  readonly #known = new Map<string, Place>()
  #next = 0
  #readAt = Number.NEGATIVE_INFINITY
  #reading: Promise<void> | undefined

  constructor(log: () => Promise<EventLog>) {
    this.#log = log
  }

  /** Where a collection is, as of half a second ago at most; undefined for one that was never moved. */
  async get(name: string): Promise<Place | undefined> {
    await this.#refresh(freshMs)
    return this.#known.get(name)
  }

  async all(): Promise<ReadonlyMap<string, Place>> {
    await this.#refresh(freshMs)
    return this.#known
  }

  /** As of now. */
  async latest(name: string): Promise<Place | undefined> {
    await this.#refresh(0)
    return this.#known.get(name)
  }

  /** Durable when it resolves. Whoever calls it must be the only one that moves this collection. */
  async set(name: string, changed: Place): Promise<void> {
    const log = await this.#log()
    await log.ensureTopic(placesTopic, { partitions: 1, retentionMs: 0, retentionBytes: 0, compact: true })
    await log.append(placesTopic, [{ key: Buffer.from(name), value: Buffer.from(JSON.stringify(changed)) }])
    await this.#refresh(0)
  }

  async #refresh(notOlderThanMs: number): Promise<void> {
    if (performance.now() - this.#readAt < notOlderThanMs) return
    // A reading that has begun before may miss what is newer than it.
    if (notOlderThanMs === 0) await this.#reading?.catch(() => undefined)
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined
    })
    await this.#reading
  }

  async #read(): Promise<void> {
    const log = await this.#log()
    const began = performance.now()
    try {
      for (;;) {
        const records = await log.read(partition, this.#next, page)
        for (const { key, value, offset } of records) {
          this.#next = offset + 1
          if (key === null) continue
          const read = value === null ? undefined : place.safeParse(parseJson(value)).data
          if (read !== undefined) this.#known.set(Buffer.from(key).toString(), read)
        }
        if (records.length === 0) break
      }
    } catch (error) {
      // No collection has ever been moved.
      if (!(error instanceof NotFound)) throw error
    }
    this.#readAt = began
  }
}

function parseJson(value: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(value).toString())
  } catch {
    return undefined
  }
}
