import type { LogRecord } from '../../src/core/event.ts'
import type { EventLog, LaneSource, ReadLimit, SourceOptions } from '../../src/core/event-log.ts'
import type { StateReader } from '../../src/core/state.ts'

export const bytes = (text: string): Buffer => Buffer.from(text)
export const text = (content: Uint8Array | null): string | null => content && Buffer.from(content).toString()
export const many: ReadLimit = { events: 1000, bytes: 1e6 }
const patienceMs = 20_000

/** A member of a group as a test drives it: collects the lanes that it is given. */
export class Member {
  readonly #stop = new AbortController()
  readonly #running: Promise<void>
  readonly #all: LaneSource[] = []

  constructor(log: EventLog, options: SourceOptions) {
    this.#running = this.#collect(log, options)
  }

  async #collect(log: EventLog, options: SourceOptions): Promise<void> {
    for await (const lane of log.source(options).lanes(this.#stop.signal)) this.#all.push(lane)
  }

  /** Those that were not revoked. */
  get lanes(): LaneSource[] {
    return this.#all.filter((lane) => !lane.revoked.aborted)
  }

  /** Waits until it holds this many lanes. */
  async holds(count: number): Promise<LaneSource[]> {
    await eventually(() => this.lanes.length === count, `${count} lanes`)
    return this.lanes
  }

  async lane(): Promise<LaneSource> {
    await this.holds(1)
    const [lane] = this.lanes
    if (!lane) throw new Error('the lane was revoked again')
    return lane
  }

  /** Reads no more, and keeps its lanes in hand. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async leave(): Promise<void> {
    await this.stop()
    await Promise.all(this.#all.map((lane) => lane.release()))
  }
}

/** Reads until it has this many records. */
export async function take(lane: LaneSource, count: number): Promise<LogRecord[]> {
  const records: LogRecord[] = []
  const signal = AbortSignal.timeout(patienceMs)
  while (records.length < count) {
    const more = await lane.read({ ...many, events: count - records.length }, signal)
    if (more.length === 0) throw new Error(`${records.length} of ${count} records came`)
    records.push(...more)
  }
  return records
}

export async function readAll(log: EventLog, topic: string, partition = 0): Promise<LogRecord[]> {
  const records: LogRecord[] = []
  for (let from = 0; ; ) {
    const more = await log.read({ topic, partition }, from, many)
    const last = more.at(-1)
    if (!last) return records
    records.push(...more)
    from = last.offset + 1
  }
}

export async function entries(state: StateReader, prefix = ''): Promise<Record<string, unknown>> {
  const found: [string, unknown][] = []
  for await (const [key, value] of state.scan(prefix)) found.push([key, value])
  return Object.fromEntries(found)
}

export async function eventually(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const end = Date.now() + patienceMs; ; ) {
    if (await holds()) return
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
