import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { openEmbeddedLiveLog, openEmbeddedLog } from '../../connectors/embedded-log/index.ts'
import { live } from '../../connectors/live.ts'
import { topic } from '../../connectors/topic.ts'
import {
  type AnyDefinition,
  type Block,
  type BlockSink,
  createCatalog,
  defineSink,
  type Sink,
} from '../../src/core/component.ts'
import type { Json } from '../../src/core/event.ts'
import type { EventLog } from '../../src/core/event-log.ts'
import type { LiveLog } from '../../src/core/live-log.ts'
import type { BlockLimits, ComponentUse, PipelineSpec } from '../../src/core/pipeline.ts'
import type { Services } from '../../src/core/services.ts'
import type { EngineContext } from '../../src/engine/build.ts'
import { createExpressions } from '../../src/expressions/index.ts'
import { dedupe } from '../../src/processors/dedupe.ts'
import { flatten } from '../../src/processors/flatten.ts'
import { createSerde } from '../../src/serde/index.ts'
import { createMetrics, silentLog } from '../../src/telemetry/index.ts'

/** A table that, like ClickHouse, remembers the ids of its blocks. It outlives every pipeline. */
export class Table implements BlockSink {
  readonly takes = 'blocks'
  readonly blocks = new Map<string, readonly Json[]>()
  /** Called before and after each write; what it throws is what the store throws. */
  trouble: (when: 'before' | 'after') => void = () => {}
  rejects: (value: Json) => boolean = () => false

  async write({ id, events }: Block) {
    this.trouble('before')
    await new Promise((resolve) => setImmediate(resolve))
    const good = events.filter(({ value }) => !this.rejects(value))
    if (!this.blocks.has(id))
      this.blocks.set(
        id,
        good.map(({ value }) => value),
      )
    this.trouble('after')
    return events.flatMap(({ value }, index) =>
      this.rejects(value) ? [{ index, code: 'refused', message: 'not this one' }] : [],
    )
  }

  get rows(): Json[] {
    return [...this.blocks.values()].flat()
  }
}

/** Short, so that a test can outlive it. Milliseconds. */
export const leaseMs = 2_000

/** What pipelines need to run, on real embedded logs in a folder of its own. */
export class World {
  readonly log: EventLog
  readonly live: LiveLog
  readonly context: EngineContext
  readonly #folder: string

  private constructor(folder: string, log: EventLog, liveLog: LiveLog, definitions: readonly AnyDefinition[]) {
    this.#folder = folder
    this.log = log
    this.live = liveLog
    const unavailable = () => Promise.reject(new Error('not in this world'))
    const services: Services = {
      serde: createSerde({ folder: join(folder, 'schemas') }),
      log: async () => log,
      live: async () => liveLog,
      analytics: unavailable,
      vectors: unavailable,
      embedder: unavailable,
    }
    const metrics = createMetrics()
    metrics.close()
    this.context = {
      services,
      catalog: createCatalog([live, topic, dedupe, flatten, ...definitions]),
      expressions: createExpressions(),
      metrics,
      log: silentLog,
      topic: () => ({}),
    }
  }

  static async open(...definitions: readonly AnyDefinition[]): Promise<World> {
    const folder = await mkdtemp(join(tmpdir(), 'millrace-world-'))
    const log = await openEmbeddedLog(folder, { leaseMs })
    return new World(folder, log, await openEmbeddedLiveLog(folder), definitions)
  }

  async values(topicName: string): Promise<Json[]> {
    const values: Json[] = []
    const { partitions } = (await this.log.topics()).find(({ name }) => name === topicName) ?? { partitions: [] }
    for (const { partition } of partitions)
      for (let from = 0, some = true; some; ) {
        const records = await this.log.read({ topic: topicName, partition }, from, { events: 1_000, bytes: 1e9 })
        for (const { value } of records) values.push(value && JSON.parse(Buffer.from(value).toString()))
        from = (records.at(-1)?.offset ?? from) + 1
        some = records.length > 0
      }
    return values
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.log.close()
    await this.live.close()
    await rm(this.#folder, { recursive: true, force: true })
  }
}

/** A sink of this name that is always this very object. */
export function sinkOf(name: string, sink: Sink): AnyDefinition {
  return defineSink({ kind: 'sink', name, summary: name, example: name, options: z.unknown(), create: () => sink })
}

export function use(name: string, options: unknown = {}): ComponentUse {
  return { name, component: name, options }
}

export function specOf(more: Partial<PipelineSpec> & { readonly sinks: readonly ComponentUse[] }): PipelineSpec {
  return {
    name: 'p',
    source: { kind: 'topics', topics: ['in'], start: 'earliest', group: 'p' },
    processors: [],
    block: limits({}),
    tests: [],
    text: '',
    file: 'p.yaml',
    ...more,
  }
}

export function limits({ events = 10, bytes = 1 << 20, ageMs = 5 }: Partial<BlockLimits>): BlockLimits {
  return { events, bytes, ageMs }
}

export async function until(condition: () => boolean | Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error('it did not come true in time')
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
