import { setTimeout as delay } from 'node:timers/promises'
import type { Intake } from '../core/component.ts'
import { errorAdvice, Fatal, Fenced, InvalidInput } from '../core/errors.ts'
import { laneName, type TopicPartition } from '../core/event.ts'
import type { LaneSource } from '../core/event-log.ts'
import type { PipelineSpec, PipelineState, PipelineStatus } from '../core/pipeline.ts'
import { isTopicPattern, matchesTopic } from '../core/topic-pattern.ts'
import { allSettled } from './all-settled.ts'
import { type Built, buildComponents, type EngineContext } from './build.ts'
import { deadLetterTopic } from './dead-letters.ts'
import { intakeTopic, runIntake } from './intake.ts'
import { Lane } from './lane.ts'
import { PipelineMeter } from './pipeline-meter.ts'

const longestRestartDelayMs = 30_000
const healthyAfterMs = 60_000
const drainPollMs = 20
const withoutLanesMs = 3_000

/**
 * One running pipeline: its components, and a lane for each partition it was given. Whatever happens in it stays in it.
 *
 *     start ▶ starting ▶ running ⇄ degraded     a final error ▶ failed      input exhausted ▶ finished
 */
export class Pipeline {
  readonly spec: PipelineSpec
  readonly #context: EngineContext
  readonly #meter: PipelineMeter
  readonly #stop = new AbortController()
  readonly #abort = new AbortController()
  readonly #lanes = new Set<Lane>()
  #state: PipelineState = 'starting'
  #reason: string | undefined
  /** Whether it has got lanes since it was last started. */
  #begun = false
  #intakeEnded = false
  #running: Promise<void> | undefined

  constructor(spec: PipelineSpec, context: EngineContext) {
    this.spec = spec
    this.#context = context
    this.#meter = new PipelineMeter(spec.name, context.metrics, context.log)
  }

  get topics(): readonly string[] {
    const { source, name } = this.spec
    return source.kind === 'topics' ? source.topics : [intakeTopic(name)]
  }

  get #group(): string {
    const { source, name } = this.spec
    return source.kind === 'topics' ? source.group : name
  }

  get state(): PipelineState {
    const alive = this.#state === 'starting' || this.#state === 'running'
    if (alive && this.#meter.degraded !== undefined) return 'degraded'
    return this.#state
  }

  /** Why it is degraded or has failed. */
  get reason(): string | undefined {
    return this.#reason ?? this.#meter.degraded
  }

  /** Runs until it is stopped, fails or has nothing more to come. Never throws: `status` tells how it went. */
  start(): void {
    this.#running ??= this.#supervise()
  }

  /** Stops reading, finishes and commits what was read. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
    if (this.#state !== 'failed') this.#state = 'paused'
  }

  /** Drops everything at once; what was not committed is replayed at the next start. */
  async abort(): Promise<void> {
    this.#stop.abort()
    this.#abort.abort()
    await this.#running
  }

  /** Resolves when it has ended by itself or by `stop`. */
  async ended(): Promise<void> {
    await this.#running
  }

  /** Resolves once nothing is left to read and all of it is committed, or the pipeline has ended. */
  drained(): Promise<void> {
    return this.#drained(this.#stop.signal)
  }

  async #drained(ended: AbortSignal): Promise<void> {
    while (!ended.aborted && this.#state !== 'failed') {
      if (this.#state === 'running' && (await this.#isDrained())) return
      await delay(drainPollMs)
    }
  }

  async status(): Promise<PipelineStatus> {
    const lanes = await Promise.all([...this.#lanes].map((lane) => lane.status()))
    const { name, text, source, sinks } = this.spec
    return {
      name,
      text,
      state: this.state,
      reason: this.reason,
      source: source.kind === 'topics' ? source.topics : [source.use.name],
      sinks: sinks.map(({ component }) => component),
      lanes,
      lag: lanes.reduce((sum, lane) => sum + lane.lag, 0),
      totals: this.#meter.totals,
      rate: this.#meter.rate,
      latency: this.#meter.latency,
    }
  }

  async #supervise(): Promise<void> {
    for (let failures = 0; !this.#stop.signal.aborted; failures++) {
      const started = performance.now()
      try {
        await this.#run()
        return
      } catch (error) {
        if (this.#abort.signal.aborted) return
        if (isFinal(error)) return this.#fail(error)
        // What went well for so long is no longer held against it.
        if (performance.now() - started > healthyAfterMs) failures = 0
        this.#meter.trouble(this.spec.name, 'pipeline', error)
        this.#reason = errorAdvice(error)
        const wait = Math.min(longestRestartDelayMs, 200 * 2 ** failures) * (0.5 + Math.random() / 2)
        await delay(wait, undefined, { signal: this.#stop.signal }).catch(() => undefined)
      }
    }
  }

  #fail(error: unknown): void {
    this.#state = 'failed'
    this.#reason = errorAdvice(error)
    this.#context.log.error(`pipeline ${this.spec.name} has stopped: ${this.#reason}`, { pipeline: this.spec.name })
  }

  async #run(): Promise<void> {
    const { services } = this.#context
    const log = await services.log()
    for (const topic of [...this.topics, deadLetterTopic(this.spec.name)]) {
      if (!isTopicPattern(topic)) await log.ensureTopic(topic, this.#context.topic(topic))
    }
    const built = await buildComponents(this.spec, this.#context)
    const failed = new AbortController()
    const stop = AbortSignal.any([this.#stop.signal, failed.signal])
    const abort = AbortSignal.any([this.#abort.signal, failed.signal])
    const work: Promise<void>[] = []
    const guard = (promise: Promise<void>) => {
      const guarded = promise.catch((error: unknown) => {
        failed.abort(error)
        throw error
      })
      // The failure is thrown once all have ended; until then it must not count as unhandled.
      guarded.catch(() => {})
      work.push(guarded)
    }
    this.#intakeEnded = false
    this.#begun = false
    // Other processes may have all partitions.
    const without = setTimeout(() => this.#begin(), withoutLanesMs)
    try {
      guard(this.#runLanes(built, stop, abort, guard))
      await allSettled(work)
    } finally {
      clearTimeout(without)
      await Promise.all([...built.eventSinks, ...built.blockSinks].map(({ sink }) => sink.close?.()))
    }
  }

  /** It has partitions to work on: before, a lag of none would say that nothing is left to do. */
  #begin(): void {
    if (this.#begun) return
    this.#begun = true
    this.#state = 'running'
    this.#reason = undefined
    this.#meter.restart()
  }

  async #runLanes(
    built: Built,
    stop: AbortSignal,
    abort: AbortSignal,
    guard: (lane: Promise<void>) => void,
  ): Promise<void> {
    const log = await this.#context.services.log()
    const { source, name } = this.spec
    const start = source.kind === 'topics' ? source.start : 'earliest'
    /** By partition. A lane that was lost may still be in the midst of a write when its partition comes back. */
    const last = new Map<string, Promise<void>>()
    const trouble = (error: unknown) => this.#meter.trouble(name, 'source', error)
    const options = { topics: this.topics, group: this.#group, start, trouble }
    for await (const lane of log.source(options).lanes(stop)) {
      const key = laneName(name, lane.partition)
      const before = last.get(key)?.catch(() => undefined) ?? Promise.resolve()
      const running = before.then(() => this.#runLane(lane, built, stop, abort))
      last.set(key, running)
      guard(running)
      // Of all processes that run the pipeline one reads the outside system: that which has the first partition.
      if (built.intake && lane.partition.partition === 0) guard(this.#runIntake(built.intake, lane, stop))
    }
  }

  /** Whatever becomes of it, the lane is released: a group waits for those who have its partitions. */
  async #runLane(source: LaneSource, built: Built, stop: AbortSignal, abort: AbortSignal): Promise<void> {
    let lane: Lane | undefined
    try {
      lane = await this.#createLane(source, built)
      this.#lanes.add(lane)
      this.#begin()
      await lane.run(AbortSignal.any([stop, source.leaving]), abort)
    } catch (error) {
      // Someone else has the partition now and replays from what was committed.
      if (!(source.revoked.aborted || error instanceof Fenced)) throw error
    } finally {
      if (lane) {
        this.#lanes.delete(lane)
        this.#meter.ended(lane.name)
      }
      await source.release()
    }
  }

  async #createLane(source: LaneSource, built: Built): Promise<Lane> {
    const { services, expressions } = this.#context
    const { spec } = this
    return new Lane({
      pipeline: spec.name,
      source,
      log: await services.log(),
      codec: await services.serde.codec(source.partition.topic),
      id: spec.id === undefined ? undefined : expressions.compile(spec.id, 'string'),
      processors: built.processors,
      eventSinks: built.eventSinks,
      blockSinks: built.blockSinks,
      block: spec.block,
      meter: this.#meter,
    })
  }

  async #runIntake(intake: Intake, lane: LaneSource, stopped: AbortSignal): Promise<void> {
    if (this.#intakeEnded) return
    const stop = AbortSignal.any([stopped, lane.leaving, lane.revoked])
    const log = await this.#context.services.log()
    await runIntake(intake, {
      log,
      pipeline: this.spec.name,
      topic: this.#context.topic(intakeTopic(this.spec.name)),
      signal: stop,
      meter: this.#meter,
    })
    if (stop.aborted) return
    this.#intakeEnded = true
    await this.#drained(stop)
    if (stop.aborted) return
    this.#stop.abort()
    this.#state = 'finished'
  }

  async #isDrained(): Promise<boolean> {
    if (this.spec.source.kind === 'intake' && !this.#intakeEnded) return false
    const lanes = [...this.#lanes]
    const lags = await Promise.all(lanes.map((lane) => lane.lag()))
    if (lags.some((lag) => lag > 0)) return false
    const log = await this.#context.services.log()
    const topics = (await log.topics()).filter(({ name }) => matchesTopic(this.topics, name))
    const elsewhere = topics.flatMap(({ name: topic, partitions }) =>
      partitions
        .filter(({ partition }) => !lanes.some((lane) => isPlace(lane.partition, topic, partition)))
        .map(({ partition, start }) => ({ topic, partition, start })),
    )
    return elsewhere.length === 0 || this.#othersHaveAll(elsewhere)
  }

  /** Whether the group has committed all records of partitions that this process does not have. */
  async #othersHaveAll(partitions: readonly (TopicPartition & { readonly start: number })[]): Promise<boolean> {
    const log = await this.#context.services.log()
    const groups = (await log.groups()).filter(({ group }) => group === this.#group)
    for (const { topic, partition, start } of partitions) {
      const known = groups.find((each) => isPlace(each.partition, topic, partition))
      const from = known?.committed.from ?? start
      const rest = await log.read({ topic, partition }, from, { events: 1, bytes: 1 })
      if (rest.length > 0) return false
    }
    return true
  }
}

function isPlace(place: TopicPartition, topic: string, partition: number): boolean {
  return place.topic === topic && place.partition === partition
}

function isFinal(error: unknown): boolean {
  return error instanceof Fatal || error instanceof InvalidInput
}
