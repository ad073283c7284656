import { errorAdvice } from '../core/errors.ts'
import type { Event } from '../core/event.ts'
import type { PipelineStatus } from '../core/pipeline.ts'
import { LatencyWindow, type Log, type Metrics, RateMeter } from '../telemetry/index.ts'
import type { DeadLetter } from './dead-letters.ts'
import type { Processed } from './processor-chain.ts'

/** Counts what a pipeline does, for its status and for the process's metrics. */
export class PipelineMeter {
  readonly #pipeline: string
  readonly #metrics: Metrics
  readonly #log: Log
  /** What is being tried again, with the latest reason. Empty: all is well. */
  readonly #troubles = new Map<string, string>()
  readonly #read = new RateMeter()
  readonly #latency = new LatencyWindow()
  #totals = { read: 0, written: 0, dropped: 0, deadLettered: 0 }

  constructor(pipeline: string, metrics: Metrics, log: Log) {
    this.#pipeline = pipeline
    this.#metrics = metrics
    this.#log = log
  }

  read(events: number): void {
    if (events === 0) return
    this.#totals.read += events
    this.#metrics.eventsRead.inc({ pipeline: this.#pipeline }, events)
    this.#read.add(events)
  }

  /** A sink has accepted so many events in one write. */
  written(component: string, events: number, seconds: number): void {
    const labels = { pipeline: this.#pipeline, sink: component }
    this.#metrics.eventsWritten.inc(labels, events)
    this.#metrics.sinkWriteSeconds.observe(labels, seconds)
  }

  /** An event sink has accepted these: they are out. */
  delivered(events: readonly Event[]): void {
    const oldest = events[0]
    if (!oldest) return
    const milliseconds = Math.max(0, Date.now() - oldest.timestamp)
    this.#metrics.latencySeconds.observe({ pipeline: this.#pipeline }, milliseconds / 1000)
    this.#latency.record(milliseconds, events.length)
  }

  /** Everything about a block is done. */
  settled(records: number, processed: readonly Processed[], letters: readonly DeadLetter[]): void {
    let written = 0
    const alive = new Set<number>()
    for (const { events } of processed) {
      written += events.length
      for (const event of events) alive.add(event.position.offset)
    }
    const dead = new Set(letters.map(({ offset }) => offset))
    const dropped = Math.max(0, records - alive.size - [...dead].filter((offset) => !alive.has(offset)).length)
    this.#totals.written += written
    this.#totals.dropped += dropped
    this.#totals.deadLettered += dead.size
    this.#metrics.eventsDropped.inc({ pipeline: this.#pipeline }, dropped)
    for (const { component } of letters) this.#metrics.eventsDeadLettered.inc({ pipeline: this.#pipeline, component })
  }

  /** A component failed and will be tried again; without an error, it has gone well since. */
  trouble(lane: string, component: string, error: unknown): void {
    const what = `${lane}: ${component}`
    if (error === undefined) {
      if (!this.#troubles.delete(what)) return
      this.#log.info(`${what} works again`, { pipeline: this.#pipeline })
      return
    }
    this.#metrics.retries.inc({ pipeline: this.#pipeline, sink: component })
    if (!this.#troubles.has(what)) {
      this.#log.warn(`${what} failed and is tried again: ${errorAdvice(error)}`, { pipeline: this.#pipeline })
    }
    this.#troubles.set(what, errorAdvice(error))
  }

  /** What the lane was trying again is no longer its business. */
  ended(lane: string): void {
    for (const what of [...this.#troubles.keys()]) if (what.startsWith(`${lane}: `)) this.#troubles.delete(what)
  }

  /** Why the pipeline is degraded, if it is. */
  get degraded(): string | undefined {
    if (this.#troubles.size === 0) return undefined
    return [...this.#troubles].map(([what, reason]) => `${what}: ${reason}`).join('; ')
  }

  /** Forgets troubles, for a fresh start. */
  restart(): void {
    this.#troubles.clear()
  }

  get totals(): PipelineStatus['totals'] {
    return { ...this.#totals }
  }

  get rate(): number {
    return this.#read.rate()
  }

  get latency(): PipelineStatus['latency'] {
    return this.#latency.quantiles()
  }
}
