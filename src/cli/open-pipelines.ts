import { join } from 'node:path'
import { parsePipeline } from '../config/pipeline.ts'
import { InvalidConfig } from '../config/problem.ts'
import { type Runtime, topicConfig } from '../config/runtime.ts'
import { errorMessage } from '../core/errors.ts'
import type { PipelineSpec } from '../core/pipeline.ts'
import type { Services } from '../core/services.ts'
import { Supervisor } from '../engine/supervisor.ts'
import { createExpressions } from '../expressions/index.ts'
import type { Log, Metrics } from '../telemetry/index.ts'
import { catalog } from './catalog.ts'
import { type StoredPipelines, storedPipelines } from './stored-pipelines.ts'

export interface PipelinesOptions {
  readonly runtime: Runtime
  /** The pipelines to run, besides those that were put through the API. */
  readonly specs: readonly PipelineSpec[]
  readonly services: Services
  readonly metrics: Metrics
  readonly log: Log
}

/** The pipelines of a process, which do not run yet. */
export interface OpenPipelines {
  readonly control: Supervisor
  start(): void
  /** Names of those that are not yet up. */
  starting(): string[]
  /** Finishes what was read. What takes longer than `drainMs`, or until the signal fires, is dropped and replayed at the next start. */
  stop(drainMs: number, signal: AbortSignal): Promise<void>
}

export async function openPipelines({
  runtime,
  specs,
  services,
  metrics,
  log,
}: PipelinesOptions): Promise<OpenPipelines> {
  const expressions = createExpressions()
  const stored = storedPipelines(join(runtime.data, 'pipelines'))
  const parse: Parse = async (text, file) => {
    const { spec, problems } = await parsePipeline(text, { file, catalog, expressions, serde: services.serde })
    if (!spec) throw new InvalidConfig(problems, text)
    return spec
  }
  const context = { services, catalog, expressions, metrics, log, topic: (name: string) => topicConfig(runtime, name) }
  const control = new Supervisor({ context, parse, keep: stored.keep })
  // Those that were put through the API outrank those of the same name that were started with.
  const all = new Map([...specs, ...(await loadStored(stored, parse, log))].map((spec) => [spec.name, spec]))
  let isStarted = false
  return {
    control,
    start: () => {
      control.start([...all.values()])
      isStarted = true
    },
    starting: () => (isStarted ? control.starting() : [...all.keys()]),
    stop: (drainMs, signal) => drain(control, log, drainMs, signal),
  }
}

type Parse = (text: string, file: string) => Promise<PipelineSpec>

/** The stored pipelines that can still be started; an error in the log names the others. */
async function loadStored(stored: StoredPipelines, parse: Parse, log: Log): Promise<PipelineSpec[]> {
  const specs: PipelineSpec[] = []
  for (const { file, text } of await stored.load()) {
    try {
      specs.push(await parse(text, file))
    } catch (error) {
      log.error(`a stored pipeline cannot be started: ${errorMessage(error)}`)
    }
  }
  return specs
}

async function drain(supervisor: Supervisor, log: Log, milliseconds: number, signal: AbortSignal): Promise<void> {
  const late = new AbortController()
  const timer = setTimeout(() => {
    const seconds = milliseconds / 1_000
    log.warn(`what was read could not be finished within ${seconds} s; the rest is replayed at the next start`)
    late.abort()
  }, milliseconds)
  try {
    await supervisor.stop(AbortSignal.any([signal, late.signal]))
  } finally {
    clearTimeout(timer)
  }
}
