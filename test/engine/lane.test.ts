import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Block, BlockSink, EventSink, Processor } from '../../src/core/component.ts'
import { Fatal, Retryable } from '../../src/core/errors.ts'
import type { Event, Json, NewRecord } from '../../src/core/event.ts'
import type { AppendOptions, EventLog } from '../../src/core/event-log.ts'
import type { Codec } from '../../src/core/serde.ts'
import { Lane, type LaneOptions } from '../../src/engine/lane.ts'
import { PipelineMeter } from '../../src/engine/pipeline-meter.ts'
import { createMetrics, silentLog } from '../../src/telemetry/index.ts'
import { FakeLaneSource, type FakePartition, fakePartition, fakeRecord } from './fake-lane-source.ts'

const json: Codec = {
  format: 'json',
  fields: undefined,
  schema: undefined,
  decode: (bytes) => JSON.parse(Buffer.from(bytes).toString()),
  encode: (value) => Buffer.from(JSON.stringify(value)),
  validate: () => [],
}

/** Stores that outlive the lane, and drop repeated writes as the real ones do. */
class Stores {
  /** Values by block id; a second write under an id must be the same as the first. */
  readonly blocks = new Map<string, readonly Json[]>()
  readonly live: Json[] = []
  #liveOffset = -1
  readonly dead: { readonly offset: number; readonly headers: Record<string, string> }[] = []
  readonly #sequences = new Map<string, number>()

  readonly blockSink: BlockSink = {
    takes: 'blocks',
    write: async (block: Block) => {
      const values = block.events.map(({ value }) => value)
      const before = this.blocks.get(block.id)
      if (before) expect(values).toEqual(before)
      await new Promise((resolve) => setImmediate(resolve))
      this.blocks.set(block.id, values)
      return []
    },
  }

  readonly eventSink: EventSink = {
    takes: 'events',
    write: async (events: readonly Event[]) => {
      const fresh = events.filter(({ position }) => position.offset > this.#liveOffset)
      this.live.push(...fresh.map(({ value }) => value))
      this.#liveOffset = Math.max(this.#liveOffset, events.at(-1)?.position.offset ?? -1)
      return []
    },
  }

  /** Takes what goes to the dead letters; the rest of a log is not asked for. */
  readonly fakeLog = {
    append: async (_topic: string, records: readonly NewRecord[], options?: AppendOptions) => {
      const { producer = '', sequence = [] } = options?.once ?? {}
      const last = this.#sequences.get(producer) ?? -1
      const sequences = [sequence].flat()
      this.#sequences.set(producer, Math.max(last, ...sequences))
      for (const { headers } of records.filter((_, index) => (sequences[index] ?? last) > last)) {
        const texts = Object.fromEntries(
          Object.entries(headers ?? {}).map(([name, b]) => [name, Buffer.from(b).toString()]),
        )
        this.dead.push({ offset: Number(texts['millrace-offset']), headers: texts })
      }
      return []
    },
  } satisfies Pick<EventLog, 'append'>
}

function lane(
  partition: FakePartition,
  stores: Stores,
  more: Partial<LaneOptions> = {},
): { lane: Lane; source: FakeLaneSource } {
  const source = new FakeLaneSource(partition)
  const metrics = createMetrics()
  metrics.close()
  const created = new Lane({
    pipeline: 'p',
    source,
    log: stores.fakeLog,
    codec: json,
    id: undefined,
    processors: [],
    eventSinks: [{ component: 'live', sink: stores.eventSink }],
    blockSinks: [{ component: 'clickhouse', sink: stores.blockSink }],
    block: { events: 10, bytes: 1 << 20, ageMs: 5 },
    meter: new PipelineMeter('p', metrics, silentLog),
    ...more,
  })
  return { lane: created, source }
}

const never = new AbortController().signal

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1))
}

/** Runs a lane until everything is committed, then stops it. */
async function drain(partition: FakePartition, stores: Stores, more: Partial<LaneOptions> = {}): Promise<void> {
  const stop = new AbortController()
  const running = lane(partition, stores, more).lane.run(stop.signal, never)
  await Promise.race([running, until(() => partition.committed.from === endOf(partition))])
  stop.abort()
  await running
}

const endOf = ({ records }: FakePartition) => (records.at(-1)?.offset ?? -1) + 1

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n)

describe('Lane', () => {
  it('writes every event once to sinks of both kinds, and commits', async () => {
    const partition = fakePartition(numbers(95))
    const stores = new Stores()
    await drain(partition, stores)
    expect(stores.live).toEqual(numbers(95))
    expect([...stores.blocks.values()].flat()).toEqual(numbers(95))
    expect(partition.committed).toEqual({ from: 95, ends: [] })
  })

  it('journals the end of a block before a block sink sees it', async () => {
    const partition = fakePartition(numbers(40))
    const stores = new Stores()
    const sink: BlockSink = {
      takes: 'blocks',
      write: async (block) => {
        expect(partition.committed.ends).toContain(block.to)
        return []
      },
    }
    await drain(partition, stores, { blockSinks: [{ component: 'b', sink }] })
    expect(partition.committed.from).toBe(40)
  })

  it('cuts replayed blocks where the journal says, whatever the limits are by then', async () => {
    const partition = fakePartition(numbers(30))
    partition.committed = { from: 3, ends: [8, 21] }
    const stores = new Stores()
    await drain(partition, stores, { block: { events: 2, bytes: 1, ageMs: 0 } })
    expect([...stores.blocks.keys()].slice(0, 2)).toEqual(['p/in/0/3-8', 'p/in/0/8-21'])
  })

  it('ends a journalled block even if its last records are gone', async () => {
    const partition = fakePartition(numbers(30))
    partition.committed = { from: 0, ends: [10, 20] }
    partition.records.splice(5, 10)
    const stores = new Stores()
    await drain(partition, stores)
    expect([...stores.blocks.keys()].slice(0, 2)).toEqual(['p/in/0/0-10', 'p/in/0/10-20'])
  })

  it('sends what can never be accepted to the dead letters, once, and goes on with the rest', async () => {
    const partition = fakePartition(numbers(20))
    partition.records[4] = { ...fakeRecord(4, null), value: Buffer.from('{"') }
    const stores = new Stores()
    const processor: Processor = {
      process: (batch) =>
        batch.map((event) => (event.value === 7 ? { failed: true, code: 'odd', message: 'seven' } : event)),
    }
    const refusing: EventSink = {
      takes: 'events',
      write: async (events) =>
        events.flatMap(({ value }, index) => (value === 9 ? [{ index, code: 'nine', message: 'no nines' }] : [])),
    }
    const more = {
      processors: [{ component: 'odd', processor }],
      eventSinks: [{ component: 'refusing', sink: refusing }],
    }
    await drain(partition, stores, more)
    partition.committed = { from: 0, ends: [] }
    await drain(partition, stores, more)
    expect(
      stores.dead.map(({ offset, headers }) => [offset, headers['millrace-component'], headers['millrace-code']]),
    ).toEqual([
      [4, 'source', 'bad_bytes'],
      [7, 'odd', 'odd'],
      [9, 'refusing', 'nine'],
    ])
    expect(stores.blocks.get('p/in/0/0-10') ?? [...stores.blocks.values()].flat()).not.toContain(7)
  })

  it('waits for a sink that is down, without reading ever further', async () => {
    const partition = fakePartition(numbers(100_000))
    const stores = new Stores()
    let down = true
    const sink: BlockSink = {
      takes: 'blocks',
      write: async (block, context) => {
        if (down) throw new Retryable({ code: 'down', message: 'is down' })
        return stores.blockSink.takes === 'blocks' ? stores.blockSink.write(block, context) : []
      },
    }
    const stop = new AbortController()
    const metrics = createMetrics()
    const meter = new PipelineMeter('p', metrics, silentLog)
    metrics.close()
    const running = lane(partition, stores, { blockSinks: [{ component: 'b', sink }], meter }).lane.run(
      stop.signal,
      never,
    )
    await until(() => meter.degraded !== undefined)
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(meter.degraded).toContain('is down')
    expect(meter.totals.read).toBeLessThan(12_000)
    down = false
    await until(() => meter.degraded === undefined)
    stop.abort()
    await running
    expect(partition.committed.from).toBeGreaterThan(0)
  })

  it('closes a block by age while the batch after it is still being processed', async () => {
    const partition = fakePartition(numbers(10))
    const stores = new Stores()
    let release = () => {}
    const released = new Promise<void>((resolve) => {
      release = resolve
    })
    const slow: Processor = {
      process: async (batch) => {
        if (batch[0]?.position.offset !== 0) await released
        return [...batch]
      },
    }
    const stop = new AbortController()
    const { lane: slowed } = lane(partition, stores, { processors: [{ component: 'slow', processor: slow }] })
    const running = slowed.run(stop.signal, never)
    await until(() => stores.blocks.size > 0)
    release()
    await until(() => partition.committed.from === 10)
    stop.abort()
    await running
    expect([...stores.blocks.values()].flat()).toEqual(numbers(10))
  })

  it('throws what is final and leaves the block uncommitted', async () => {
    const partition = fakePartition(numbers(5))
    const sink: EventSink = {
      takes: 'events',
      write: async () => {
        throw new Fatal({ code: 'fingerprint_mismatch', message: 'another model' })
      },
    }
    const { lane: failing } = lane(partition, new Stores(), { eventSinks: [{ component: 'e', sink }] })
    await expect(failing.run(never, never)).rejects.toThrow('another model')
    expect(partition.committed.from).toBe(0)
  })

  it('keeps the order of a stateful processor and commits its state with the offsets', async () => {
    const partition = fakePartition(numbers(500))
    const sum: Processor = {
      stateful: true,
      process: async (batch, { state }) => {
        const [before] = await state.get(['sum'])
        let total = typeof before === 'number' ? before : 0
        return batch.map((event) => {
          total += Number(event.value)
          state.set('sum', total, event.position.offset)
          return { ...event, value: total }
        })
      },
    }
    const stores = new Stores()
    await drain(partition, stores, { processors: [{ component: 'sum', processor: sum }] })
    expect(stores.live.at(-1)).toBe((499 * 500) / 2)
    expect([...partition.state.values()]).toEqual([(499 * 500) / 2])
  })

  it('loses nothing and doubles nothing, however often it is cut down and whatever its limits are', async () => {
    const life = fc.record({
      events: fc.integer({ min: 1, max: 40 }),
      ageMs: fc.constantFrom(0, 1, 5),
      killAfterMs: fc.integer({ min: 0, max: 6 }),
      graceful: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 300 }), fc.array(life, { maxLength: 8 }), async (count, lives) => {
        const partition = fakePartition(numbers(count))
        const stores = new Stores()
        const counting: Processor = {
          stateful: true,
          process: async (batch, { state }) => {
            const [before] = await state.get(['count'])
            let total = typeof before === 'number' ? before : 0
            return batch.map((event) => {
              total += 1
              state.set('count', total, event.position.offset)
              return { ...event, value: { n: event.value, total } }
            })
          },
        }
        const processors = [{ component: 'count', processor: counting }]
        for (const { events, ageMs, killAfterMs, graceful } of lives) {
          const stop = new AbortController()
          const abort = new AbortController()
          const { lane: mortal } = lane(partition, stores, { block: { events, ageMs, bytes: 1 << 20 }, processors })
          const running = mortal.run(stop.signal, abort.signal).catch(() => undefined)
          await new Promise((resolve) => setTimeout(resolve, killAfterMs))
          if (graceful) stop.abort()
          else abort.abort()
          await running
        }
        await drain(partition, stores, { processors })
        const expected = numbers(count).map((n) => ({ n, total: n + 1 }))
        expect(stores.live).toEqual(expected)
        const rows = [...stores.blocks.values()].flat().sort((a, b) => Number(Object(a).n) - Number(Object(b).n))
        expect(rows).toEqual(expected)
      }),
      { numRuns: 60 },
    )
  })
})
