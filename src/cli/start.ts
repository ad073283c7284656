import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Runtime } from '../config/runtime.ts'
import { errorAdvice } from '../core/errors.ts'
import type { NamedQuery } from '../core/named-query.ts'
import type { PipelineSpec } from '../core/pipeline.ts'
import type { Services } from '../core/services.ts'
import { createExpressions } from '../expressions/index.ts'
import { Queries } from '../queries/index.ts'
import {
  createApp,
  createGatewayApp,
  createLive,
  createProcessorApp,
  defaultServerLimits,
  folderFiles,
  type Readiness,
} from '../server/index.ts'
import type { Log } from '../telemetry/index.ts'
import type { ReportDownload } from './download-report.ts'
import { createEmbedderObserver, createObserver } from './observe.ts'
import { type OpenPipelines, openPipelines } from './open-pipelines.ts'
import { packageRoot, packageVersion } from './package.ts'
import { openProcess, type ServerProcess } from './process.ts'
import { assertUseful } from './role-bindings.ts'

export interface StartOptions {
  readonly runtime: Runtime
  /** The pipelines to run, besides those that were put through the API. */
  readonly specs: readonly PipelineSpec[]
  /** Those that clients may call by name. Default: none. */
  readonly queries?: readonly NamedQuery[] | undefined
  readonly log: Log
  readonly downloading?: ReportDownload | undefined
  /** How long `stop` may take to finish what was read. Default 20 s. */
  readonly drainMs?: number | undefined
}

const pollMs = 20
const retryMs = 1_000

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

/** The composition root of the roles `all`, `processor` and `gateway`: binds, builds and runs what the role says. */
export async function startMillrace(options: StartOptions): Promise<Millrace> {
  const { runtime, log, downloading, drainMs = 20_000 } = options
  const { role } = runtime
  assertUseful(runtime)
  const opened = await openProcess(runtime, { log, downloading })
  const { metrics, services } = opened
  const ending = new AbortController()
  try {
    const pipelines = role === 'gateway' ? undefined : await openPipelines({ ...options, metrics, services })
    const missing = role === 'gateway' ? untilChannelsAnswer(services, log, ending.signal) : () => undefined
    const ready = () => readiness(pipelines, missing())
    const address = await serve(options, opened, { pipelines, ready, closing: ending.signal })
    pipelines?.start()
    return {
      address,
      pipelines: ((await pipelines?.control.list()) ?? []).map(({ name }) => name),
      ready: until(() => ready().ready),
      ended: pipelines?.control.ended() ?? new Promise(() => {}),
      stop: async (signal) => {
        // The pipelines first: what they finish still reaches the clients.
        const drained = pipelines?.stop(drainMs, signal)
        services.stopDownloads()
        await drained
        ending.abort()
        await opened.close()
      },
    }
  } catch (error) {
    ending.abort()
    await opened.close()
    throw error
  }
}

interface Work {
  readonly pipelines: OpenPipelines | undefined
  readonly ready: () => Readiness
  readonly closing: AbortSignal
}

/** Serves what the role serves. */
function serve(
  { runtime, log, queries: named = [] }: StartOptions,
  process: ServerProcess,
  work: Work,
): Promise<string> {
  const { access, audit, metrics, services } = process
  const { pipelines, ready, closing } = work
  const { role, server } = runtime
  const { origins } = server
  const observe =
    pipelines === undefined
      ? createEmbedderObserver(metrics, services.embedderStats)
      : createObserver(metrics, pipelines.control, services.embedderStats)
  const version = packageVersion()
  const base = { access, audit, origins, metrics, observe, log, ready, version, limits: defaultServerLimits }
  const running = pipelines && { ...base, pipelines: pipelines.control, closing }
  if (role === 'processor' && running) return process.serve(createProcessorApp(running), base)

  const expressions = createExpressions({ bounded: true })
  const queries = new Queries(named, services.analytics)
  const context = {
    ...base,
    services,
    expressions,
    queries,
    live: createLive({ services, expressions, queries, access, audit, metrics, log, limits: server.limits }),
    dashboard: folderFiles(join(packageRoot(), 'dist/dashboard')),
  }
  return process.serve(running ? createApp({ ...context, ...running }) : createGatewayApp(context), context)
}

/** A pipeline that has failed or waits for a store is no reason to keep requests from the others. */
function readiness(pipelines: OpenPipelines | undefined, missing: string | undefined): Readiness {
  const starting = (pipelines?.starting() ?? []).map((name) => `pipeline ${name} is starting`)
  const reasons = missing === undefined ? starting : [missing, ...starting]
  return { ready: reasons.length === 0, reasons: [...reasons, ...(pipelines?.control.troubles() ?? [])] }
}

/**
 * What keeps a gateway from serving: the channels have never answered yet. A process that is bound to the wrong server thus
 * never takes the place of one that works; one that has served goes on doing so, whatever happens to the server.
 */
function untilChannelsAnswer({ live }: Services, log: Log, signal: AbortSignal): () => string | undefined {
  let missing: string | undefined = 'the channels have not answered yet'
  const look = async () => {
    for (let said = false; !signal.aborted; ) {
      try {
        await (await live()).channels()
        missing = undefined
        return
      } catch (error) {
        missing = errorAdvice(error)
        if (!said) log.warn('the gateway is not ready yet', { reason: missing })
        said = true
      }
      await delay(retryMs, undefined, { signal, ref: false }).catch(() => undefined)
    }
  }
  void look()
  return () => missing
}

/** Resolves once the condition holds. Keeps no process from ending. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await delay(pollMs, undefined, { ref: false })
}
