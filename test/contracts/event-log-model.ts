import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { expect } from 'vitest'
import type { EventLog, LaneSource } from '../../src/core/event-log.ts'
import { bytes, entries, Member, readAll, text } from './event-log-member.ts'

interface Setting {
  readonly open: () => Promise<EventLog>
  readonly runs: number
}

type Step =
  | {
      readonly do: 'append'
      readonly partition: number
      readonly values: readonly string[]
      readonly sequence: number | undefined
    }
  | { readonly do: 'read'; readonly partition: number; readonly events: number; readonly bytes: number }
  | {
      readonly do: 'commit'
      readonly partition: number
      readonly blocks: number
      readonly key: string
      readonly value: number | undefined
    }
  | { readonly do: 'rejoin' }
  | { readonly do: 'reopen' }

const partitions = 2

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      partition: fc.nat(partitions - 1),
      values: fc.array(fc.string({ maxLength: 12, unit: 'grapheme' }), { maxLength: 6 }),
      sequence: fc.option(fc.nat(8), { nil: undefined }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('read' as const),
      partition: fc.nat(partitions - 1),
      events: fc.integer({ min: 1, max: 6 }),
      bytes: fc.integer({ min: 1, max: 40 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('commit' as const),
      partition: fc.nat(partitions - 1),
      blocks: fc.nat(3),
      key: fc.constantFrom('a', 'b', 'c'),
      value: fc.option(fc.nat(), { nil: undefined }),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'rejoin' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'reopen' as const }) },
)

/** What one partition holds, and what its one group has seen and committed. */
class PartitionModel {
  readonly records: { readonly offset: number; readonly value: string }[] = []
  from = 0
  ends: readonly number[] = []
  /** How many of the records the lane has read. */
  read = 0
  readonly state = new Map<string, number>()
  readonly sequences = new Map<string, number>()
}

/** Compares random histories on the log with a model of it. Closes the logs that it opens. */
export async function eventLogModel({ open, runs }: Setting): Promise<void> {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
      const history = new History(open)
      try {
        await history.begin()
        for (const each of steps) await history.take(each)
        await history.check()
      } finally {
        await history.end()
      }
    }),
    { numRuns: runs },
  )
}

class History {
  readonly #open: () => Promise<EventLog>
  readonly #topic = `m-${randomUUID()}`
  readonly #group = `g-${randomUUID()}`
  readonly #model = Array.from({ length: partitions }, () => new PartitionModel())
  #log: EventLog | undefined
  #member: Member | undefined

  constructor(open: () => Promise<EventLog>) {
    this.#open = open
  }

  async begin(): Promise<void> {
    this.#log = await this.#open()
    await this.#log.ensureTopic(this.#topic, { partitions })
    await this.#join()
  }

  async end(): Promise<void> {
    await this.#member?.leave()
    await this.#log?.close()
  }

  async take(step: Step): Promise<void> {
    if (step.do === 'append') await this.#append(step)
    else if (step.do === 'read') await this.#read(step)
    else if (step.do === 'commit') await this.#commit(step)
    else {
      await this.#member?.leave()
      if (step.do === 'reopen') {
        await this.#log?.close()
        this.#log = await this.#open()
      }
      await this.#join()
    }
  }

  async check(): Promise<void> {
    for (const [partition, model] of this.#model.entries()) {
      const records = await readAll(this.#opened(), this.#topic, partition)
      expect(records.map(({ offset, value }) => ({ offset, value: text(value) }))).toEqual(model.records)
      expect(await entries((await this.#lane(partition)).state)).toEqual(Object.fromEntries(model.state))
    }
  }

  async #append({ partition, values, sequence }: Step & { do: 'append' }): Promise<void> {
    const model = this.#partition(partition)
    const producer = `${this.#topic}/${partition}`
    const last = model.sequences.get(producer) ?? -1
    const once = sequence === undefined ? undefined : { producer, sequence }
    const positions = await this.#opened().append(
      this.#topic,
      values.map((value) => ({ key: null, value: bytes(value), partition })),
      { once },
    )
    if (sequence !== undefined && sequence <= last) {
      expect(positions).toEqual([])
      return
    }
    if (sequence !== undefined) model.sequences.set(producer, sequence)
    for (const [index, value] of values.entries()) {
      const offset = positions[index]?.offset ?? -1
      expect(offset).toBeGreaterThan(model.records.at(-1)?.offset ?? -1)
      // What a round trip through UTF-8 makes of it.
      model.records.push({ offset, value: bytes(value).toString() })
    }
  }

  async #read(limit: Step & { do: 'read' }): Promise<void> {
    const model = this.#partition(limit.partition)
    const lane = await this.#lane(limit.partition)
    const left = model.records.slice(model.read)
    const before = await lane.end()
    const records = await lane.read({ events: limit.events, bytes: limit.bytes, before }, AbortSignal.timeout(20_000))
    expect(records.length).toBeLessThanOrEqual(limit.events)
    expect(records.length > 0).toBe(left.length > 0)
    const size = records.reduce((sum, { value }) => sum + (value?.length ?? 0), 0)
    if (records.length > 1) expect(size).toBeLessThanOrEqual(limit.bytes)
    expect(records.map(({ offset, value }) => ({ offset, value: text(value) }))).toEqual(left.slice(0, records.length))
    model.read += records.length
  }

  /** Commits everything that was read but for the last few records, which stay as blocks in flight. */
  async #commit({ partition, blocks, key, value }: Step & { do: 'commit' }): Promise<void> {
    const model = this.#partition(partition)
    const seen = model.records.slice(0, model.read).filter(({ offset }) => offset + 1 > model.from)
    const boundaries = [model.from, ...seen.map(({ offset }) => offset + 1)]
    const [from = model.from, ...ends] = boundaries.slice(-1 - blocks)
    await (await this.#lane(partition)).commit({ from, ends }, [{ key, value }])
    model.from = from
    model.ends = ends
    if (value === undefined) model.state.delete(key)
    else model.state.set(key, value)
  }

  async #join(): Promise<void> {
    this.#member = new Member(this.#opened(), { topics: [this.#topic], group: this.#group })
    await this.#member.holds(partitions)
    for (const [partition, model] of this.#model.entries()) {
      const { committed } = await this.#lane(partition)
      expect(committed).toEqual({ from: model.from, ends: model.ends })
      model.read = model.records.filter(({ offset }) => offset < model.from).length
    }
  }

  async #lane(partition: number): Promise<LaneSource> {
    const lanes = (await this.#member?.holds(partitions)) ?? []
    const lane = lanes.find((each) => each.partition.partition === partition)
    if (!lane) throw new Error(`no lane for partition ${partition}`)
    return lane
  }

  #opened(): EventLog {
    if (!this.#log) throw new Error('the log is not open')
    return this.#log
  }

  #partition(partition: number): PartitionModel {
    const model = this.#model[partition]
    if (!model) throw new Error(`no partition ${partition}`)
    return model
  }
}
