import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { lockData } from '../../connectors/embedded-log/lock.ts'
import { parsePipeline } from '../config/pipeline.ts'
import { InvalidConfig } from '../config/problem.ts'
import { type Runtime, topicConfig } from '../config/runtime.ts'
import { errorMessage } from '../core/errors.ts'
import type { Expressions } from '../core/expression.ts'
import type { PipelineSpec } from '../core/pipeline.ts'
import type { Services } from '../core/services.ts'
import { Supervisor } from '../engine/supervisor.ts'
import { createExpressions } from '../expressions/index.ts'
import { createApp, createLive, defaultServerLimits, folderFiles, type Listening, listen } from '../server/index.ts'
import { createMetrics, type Log } from '../telemetry/index.ts'
import { catalog } from './catalog.ts'
import type { ReportDownload } from './download-report.ts'
import { makeFolder } from './folder.ts'
import { createObserver } from './observe.ts'
import { packageRoot, packageVersion } from './package.ts'
import { openServices } from './services.ts'
import { type StoredPipelines, storedPipelines } from './stored-pipelines.ts'

export interface StartOptions {
  readonly runtime: Runtime
  /** The pipelines to run, besides those that were put through the API. */
  readonly specs: readonly PipelineSpec[]
  readonly log: Log
  readonly downloading?: ReportDownload | undefined
  /** How long `stop` may take to finish what was read. Default 20 s. */
  readonly drainMs?: number | undefined
}

const pollMs = 20

/** A running process. */
export interface Millrace {
  readonly address: string
  readonly pipelines: readonly string[]
  /** Resolves when `/readyz` answers 200: every pipeline has started, or has failed to; the model is loaded. */
  readonly ready: Promise<void>
  /** Resolves when every pipeline has ended by itself, as one that reads standard input does. Rejects with what ends it. */
  readonly ended: Promise<void>
  /**
   * Finishes and commits what was read, then closes everything. What is not finished in time, for a sink is down, or when
   * the signal fires, is dropped; the next start replays it.
   */
  stop(signal: AbortSignal): Promise<void>
}

/** The composition root of the role `all`: binds, builds and runs everything in this process. */
export async function startMillrace(options: StartOptions): Promise<Millrace> {
  const { runtime, specs, log, downloading, drainMs = 20_000 } = options
  await makeFolder(runtime.data)
  const lock = await lockData(runtime.data)
  const metrics = createMetrics()
  const services = openServices(runtime, { log, metrics, downloading })
  const expressions = createExpressions()
  const stored = storedPipelines(join(runtime.data, 'pipelines'))
  const parse = parser(expressions, services)
  const supervisor = new Supervisor({
    context: { services, catalog, expressions, metrics, log, topic: (name) => topicConfig(runtime, name) },
    parse,
    keep: stored.keep,
  })
  let server: Listening | undefined
  const close = async () => {
    await server?.close()
    metrics.close()
    await services.close()
    await lock.release()
  }
  try {
    // Those that were put through the API outrank those of the same name that were started with.
    const all = new Map([...specs, ...(await loadStored(stored, parse, log))].map((spec) => [spec.name, spec]))
    const { host, port, token } = runtime.server
    const auth = token === undefined ? undefined : { token }
    let started = false
    const ready = () => {
      const names = started ? supervisor.starting() : [...all.keys()]
      const starting = names.map((name) => `pipeline ${name} is starting`)
      // A pipeline that has failed or waits for a store is no reason to keep requests from the others.
      return { ready: started && starting.length === 0, reasons: [...starting, ...supervisor.troubles()] }
    }
    const context = {
      services,
      pipelines: supervisor,
      expressions,
      live: createLive({ services, expressions: createExpressions({ bounded: true }), auth, metrics, log }),
      auth,
      metrics,
      observe: createObserver(metrics, supervisor, services.embedderStats),
      log,
      ready,
      version: packageVersion(),
      limits: defaultServerLimits,
      dashboard: folderFiles(join(packageRoot(), 'dist/dashboard')),
    }
    server = await listen(createApp(context), context, { host, port })
    await lock.update({ address: server.address })
    supervisor.start([...all.values()])
    started = true
    return {
      address: server.address,
      pipelines: (await supervisor.list()).map(({ name }) => name),
      ready: until(() => ready().ready),
      ended: supervisor.ended(),
      stop: async (signal) => {
        // The pipelines first: what they finish still reaches the clients.
        const drained = drain(supervisor, log, drainMs, signal)
        services.stopDownloads()
        await drained
        await close()
      },
    }
  } catch (error) {
    await close()
    throw error
  }
}

type Parse = (text: string, file: string) => Promise<PipelineSpec>

function parser(expressions: Expressions, { serde }: Services): Parse {
  return async (text, file) => {
    const { spec, problems } = await parsePipeline(text, { file, catalog, expressions, serde })
    if (!spec) throw new InvalidConfig(problems, text)
    return spec
  }
}

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

/** Stops the pipelines. What they have not finished in time, or when the signal fires, is dropped. */
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

/** Resolves once the condition holds. Keeps no process from ending. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await delay(pollMs, undefined, { ref: false })
}
