import type { Json, LogRecord } from '../../src/core/event.ts'
import type { Committed, LaneSource, ReadLimit } from '../../src/core/event-log.ts'
import type { StateChange, StateReader } from '../../src/core/state.ts'

/** What outlives a lane: the records, and what was committed last. */
export interface FakePartition {
  readonly records: LogRecord[]
  committed: Committed
  readonly state: Map<string, Json>
  readonly commits: Committed[]
}

export function fakePartition(values: readonly Json[]): FakePartition {
  const records = values.map((value, offset) => fakeRecord(offset, value))
  return { records, committed: { from: 0, ends: [] }, state: new Map(), commits: [] }
}

export function fakeRecord(offset: number, value: Json): LogRecord {
  return {
    topic: 'in',
    partition: 0,
    offset,
    key: null,
    value: Buffer.from(JSON.stringify(value)),
    headers: {},
    timestamp: 1_000 + offset,
  }
}

/** A partition in memory, read by one lane. */
export class FakeLaneSource implements LaneSource {
  readonly partition = { topic: 'in', partition: 0 }
  readonly committed: Committed
  readonly state: StateReader
  readonly #partition: FakePartition
  readonly #revoked = new AbortController()
  #next: number

  constructor(partition: FakePartition) {
    this.#partition = partition
    this.committed = partition.committed
    this.#next = partition.committed.from
    this.state = {
      get: async (keys) => keys.map((key) => partition.state.get(key)),
      async *scan(prefix) {
        for (const entry of [...partition.state].sort()) if (entry[0].startsWith(prefix)) yield entry
      },
    }
  }

  readonly leaving: AbortSignal = new AbortController().signal

  get revoked(): AbortSignal {
    return this.#revoked.signal
  }

  revoke(): void {
    this.#revoked.abort()
  }

  async read(limit: ReadLimit, signal: AbortSignal): Promise<LogRecord[]> {
    const before = limit.before ?? Number.POSITIVE_INFINITY
    const records = this.#partition.records.filter(({ offset }) => offset >= this.#next && offset < before)
    const taken = records.slice(0, limit.events)
    const last = taken.at(-1)
    if (last) this.#next = last.offset + 1
    else if (limit.before !== undefined) this.#next = limit.before
    else await aborted(signal)
    return taken
  }

  async commit(committed: Committed, changes: readonly StateChange[] = []): Promise<void> {
    await Promise.resolve()
    this.#partition.committed = committed
    this.#partition.commits.push(committed)
    for (const { key, value } of changes) {
      if (value === undefined) this.#partition.state.delete(key)
      else this.#partition.state.set(key, value)
    }
  }

  async end(): Promise<number> {
    return (this.#partition.records.at(-1)?.offset ?? -1) + 1
  }

  assertOwned(): void {}

  async release(): Promise<void> {}
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
