import { setTimeout as delay } from 'node:timers/promises'
import { InvalidInput, NotFound, Retryable } from '../core/errors.ts'
import { didYouMean } from '../core/nearest.ts'
import type { PipelineControl, PipelineSpec, PipelineStatus } from '../core/pipeline.ts'
import type { EngineContext } from './build.ts'
import { Pipeline } from './pipeline.ts'

export interface SupervisorOptions {
  readonly context: EngineContext
  /** Checks a pipeline's text. Throws `InvalidInput` with every problem. */
  parse(text: string, file: string): Promise<PipelineSpec>
  /** Keeps a pipeline that was put by the API (`undefined`: removed), so that the next start has it. */
  keep(name: string, text: string | undefined): Promise<void>
  /**
   * How long a pipeline that is paused, replaced or removed may take to finish what it has read, milliseconds. A sink
   * that is down longer keeps nobody waiting: the rest is dropped, and replayed when the pipeline goes on. Default 10,000.
   */
  readonly patienceMs?: number
}

const endPollMs = 100

/** All pipelines of the process. Changes of one pipeline take their turn; pipelines do not wait for each other. */
export class Supervisor implements PipelineControl {
  readonly #options: SupervisorOptions
  readonly #pipelines = new Map<string, Pipeline>()
  readonly #turns = new Map<string, Promise<unknown>>()
  /** From then on none starts: what they need is about to be closed. */
  #stopping = false

  constructor(options: SupervisorOptions) {
    this.#options = options
  }

  start(specs: readonly PipelineSpec[]): void {
    for (const spec of specs) this.#start(spec)
  }

  /** Names of the pipelines that are not yet up. */
  starting(): string[] {
    return [...this.#pipelines.values()].filter(({ state }) => state === 'starting').map(({ spec }) => spec.name)
  }

  /** Why pipelines have stopped for good, or cannot go on at present. */
  troubles(): string[] {
    return [...this.#pipelines.values()].flatMap(({ spec, state, reason }) => {
      if (state === 'failed') return [`pipeline ${spec.name} has failed: ${reason}`]
      return state === 'degraded' ? [`pipeline ${spec.name} is degraded: ${reason}`] : []
    })
  }

  list(): Promise<PipelineStatus[]> {
    return Promise.all([...this.#pipelines.values()].map((pipeline) => pipeline.status()))
  }

  async get(name: string): Promise<PipelineStatus> {
    return this.#known(name).status()
  }

  async put(name: string, yaml: string): Promise<PipelineStatus> {
    const spec = await this.#options.parse(yaml, `${name}.yaml`)
    if (spec.name !== name) {
      const message = `the pipeline is called "${spec.name}" in its text but "${name}" in the address; make them the same`
      throw new InvalidInput({ code: 'invalid_pipeline', message })
    }
    return this.#inTurn(name, async () => {
      await this.#options.keep(name, yaml)
      await this.#halt(this.#pipelines.get(name))
      return this.#start(spec).status()
    })
  }

  async remove(name: string): Promise<void> {
    this.#known(name)
    await this.#inTurn(name, async () => {
      await this.#halt(this.#pipelines.get(name))
      this.#pipelines.delete(name)
      await this.#options.keep(name, undefined)
    })
  }

  pause(name: string): Promise<PipelineStatus> {
    return this.#inTurn(name, async () => {
      const pipeline = this.#known(name)
      await this.#halt(pipeline)
      return pipeline.status()
    })
  }

  resume(name: string): Promise<PipelineStatus> {
    return this.#inTurn(name, async () => {
      const pipeline = this.#known(name)
      const ended = ['paused', 'failed', 'finished'].includes(pipeline.state)
      return (ended ? this.#start(pipeline.spec) : pipeline).status()
    })
  }

  /** Resolves when every pipeline has come to the end of its input. One that is paused or has failed may go on. */
  async ended(): Promise<void> {
    while (!this.#haveFinished()) await delay(endPollMs, undefined, { ref: false })
  }

  #haveFinished(): boolean {
    const pipelines = [...this.#pipelines.values()]
    return pipelines.length > 0 && pipelines.every(({ state }) => state === 'finished')
  }

  /** Stops all: finishes and commits what was read. When `abort` fires, drops the rest at once. */
  async stop(abort: AbortSignal): Promise<void> {
    this.#stopping = true
    const pipelines = [...this.#pipelines.values()]
    const drop = () => void Promise.all(pipelines.map((pipeline) => pipeline.abort()))
    abort.addEventListener('abort', drop, { once: true })
    if (abort.aborted) drop()
    await Promise.all(pipelines.map((pipeline) => pipeline.stop()))
    abort.removeEventListener('abort', drop)
  }

  async #halt(pipeline: Pipeline | undefined): Promise<void> {
    const impatience = setTimeout(() => void pipeline?.abort(), this.#options.patienceMs ?? 10_000)
    await pipeline?.stop()
    clearTimeout(impatience)
  }

  #start(spec: PipelineSpec): Pipeline {
    if (this.#stopping) throw new Retryable({ code: 'stopping', message: 'the process is about to end' })
    const pipeline = new Pipeline(spec, this.#options.context)
    this.#pipelines.set(spec.name, pipeline)
    pipeline.start()
    return pipeline
  }

  #known(name: string): Pipeline {
    const pipeline = this.#pipelines.get(name)
    if (pipeline) return pipeline
    const message = `there is no pipeline "${name}"${didYouMean(name, this.#pipelines.keys())}`
    throw new NotFound({ code: 'pipeline_not_found', message })
  }

  #inTurn<T>(name: string, change: () => Promise<T>): Promise<T> {
    const mine = (this.#turns.get(name) ?? Promise.resolve()).then(change, change)
    const settled = mine.catch(() => undefined)
    this.#turns.set(name, settled)
    void settled.then(() => {
      if (this.#turns.get(name) === settled) this.#turns.delete(name)
    })
    return mine
  }
}
