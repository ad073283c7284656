import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { Fatal } from '../core/errors.ts'
import type { EventLog } from '../core/event-log.ts'
import type { ComponentUse, PipelineSpec } from '../core/pipeline.ts'
import { matchesTopic } from '../core/topic-pattern.ts'
import type { EngineContext } from '../engine/build.ts'
import { intakeTopic } from '../engine/intake.ts'
import { Pipeline } from '../engine/pipeline.ts'

const sinkName = 'vectors'
const sinkOptions = z.looseObject({ collection: z.string(), field: z.string().optional() })
const pollMs = 50

/** Whether a pipeline writes to a collection. */
export function writesTo(spec: PipelineSpec, collection: string): boolean {
  return spec.sinks.some((use) => collectionOf(use) === collection)
}

/** The collections that pipelines write to. */
export function collectionsOf(specs: readonly PipelineSpec[]): string[] {
  return specs.flatMap(({ sinks }) => sinks.flatMap((use) => collectionOf(use) ?? []))
}

/** Whether the vectors that it writes come with its events, and not from a model. */
export function bringsVectors({ sinks }: PipelineSpec, collection: string): boolean {
  const written = sinks.filter((use) => collectionOf(use) === collection)
  return written.some(({ options }) => sinkOptions.safeParse(options).data?.field !== undefined)
}

function collectionOf({ name, options }: ComponentUse): string | undefined {
  return name === sinkName ? sinkOptions.safeParse(options).data?.collection : undefined
}

/**
 * The same pipeline as a group of its own that begins at the beginning and writes nothing but `next` in the place of the
 * collection. Ids and positions are the pipeline's own.
 */
export function replayOf(spec: PipelineSpec, collection: string, next: string): PipelineSpec {
  const name = `${spec.name}.${next}`
  const topics = spec.source.kind === 'topics' ? spec.source.topics : [intakeTopic(spec.name)]
  const sinks = spec.sinks
    .filter((use) => collectionOf(use) === collection)
    .map((use) => ({ ...use, options: { ...sinkOptions.parse(use.options), collection: next } }))
  return { ...spec, name, sinks, source: { kind: 'topics', topics, start: 'earliest', group: name } }
}

/** The end of every partition of some topics. */
export type Ends = ReadonlyMap<string, number>

/** Pipelines that run until they are told to stop. */
export class Replay {
  readonly #pipelines: readonly Pipeline[]
  readonly #log: EventLog

  constructor(specs: readonly PipelineSpec[], log: EventLog, context: EngineContext) {
    this.#log = log
    this.#pipelines = specs.map((spec) => new Pipeline(spec, context))
    for (const pipeline of this.#pipelines) pipeline.start()
  }

  /** Events that are still to come, and what is wrong if nothing moves. Throws `Fatal` when one of them has failed. */
  async lag(): Promise<{ readonly lag: number; readonly reason: string | undefined }> {
    const remaining = await this.#remaining(await this.ends())
    const troubled = this.#pipelines.find(({ state }) => state === 'degraded' || state === 'failed')
    if (troubled?.state === 'failed') {
      throw new Fatal({ code: 'migration_failed', message: `${troubled.spec.name} has failed: ${troubled.reason}` })
    }
    return { lag: remaining, reason: troubled?.reason }
  }

  async ends(): Promise<Ends> {
    const names = this.#pipelines.flatMap(({ topics }) => topics)
    const topics = (await this.#log.topics()).filter(({ name }) => matchesTopic(names, name))
    return new Map(
      topics.flatMap(({ name, partitions }) =>
        partitions.map(({ partition, start, end }) => [`${name}/${partition}`, start === end ? 0 : end] as const),
      ),
    )
  }

  /** Resolves with true once all that lay before these ends is written and committed, false if that takes too long. */
  async reaches(ends: Ends, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    const deadline = performance.now() + timeoutMs
    while (!signal.aborted && performance.now() < deadline) {
      if ((await this.#remaining(ends)) === 0) return true
      await delay(pollMs)
    }
    return false
  }

  /** Finishes and commits what was read. */
  async stop(patienceMs: number): Promise<void> {
    const impatience = setTimeout(() => void Promise.all(this.#pipelines.map((each) => each.abort())), patienceMs)
    await Promise.all(this.#pipelines.map((pipeline) => pipeline.stop()))
    clearTimeout(impatience)
  }

  async #remaining(ends: Ends): Promise<number> {
    const groups = await this.#log.groups()
    const starts = await this.#starts()
    const lagging = this.#pipelines.map(({ spec, topics }) => {
      const own = groups.filter(({ group }) => group === spec.name)
      const committed = new Map(
        own.map(({ partition, committed: { from } }) => [`${partition.topic}/${partition.partition}`, from]),
      )
      return [...ends].reduce((sum, [key, end]) => {
        const topic = key.slice(0, key.lastIndexOf('/'))
        if (!matchesTopic(topics, topic)) return sum
        return sum + Math.max(0, end - Math.max(committed.get(key) ?? 0, starts.get(key) ?? 0))
      }, 0)
    })
    return lagging.reduce((sum, lag) => sum + lag, 0)
  }

  /** Records that retention has dropped are not waited for. */
  async #starts(): Promise<ReadonlyMap<string, number>> {
    const topics = await this.#log.topics()
    return new Map(
      topics.flatMap(({ name, partitions }) =>
        partitions.map(({ partition, start }) => [`${name}/${partition}`, start] as const),
      ),
    )
  }
}
