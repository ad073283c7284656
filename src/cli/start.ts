import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
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
import { createApp, createLive, defaultServerLimits, folderFiles, listen } from '../server/index.ts'
import { createMetrics, type Log } from '../telemetry/index.ts'
import { catalog } from './catalog.ts'
import { makeFolder } from './folder.ts'
import { createObserver } from './observe.ts'
import { packageRoot, packageVersion } from './package.ts'
import { openServices } from './services.ts'

export interface StartOptions {
  readonly runtime: Runtime
  /** The pipelines to run, besides those that were put through the API. */
  readonly specs: readonly PipelineSpec[]
  readonly log: Log
}

/** A running process. */
export interface Millrace {
  readonly address: string
  readonly pipelines: readonly string[]
  /** Resolves when every pipeline has ended by itself, as one that reads standard input does. */
  readonly ended: Promise<void>
  /** Finishes and commits what was read, then closes everything. When the signal fires, drops the rest at once. */
  stop(signal: AbortSignal): Promise<void>
}

/** The composition root: binds, builds and runs everything in this process. */
export async function startMillrace({ runtime, specs, log }: StartOptions): Promise<Millrace> {
  await makeFolder(runtime.data)
  const lock = await lockData(runtime.data)
  const services = openServices(runtime, log)
  const metrics = createMetrics()
  const expressions = createExpressions()
  const stored = storedPipelines(join(runtime.data, 'pipelines'))
  const parse = parser(expressions, services)
  const supervisor = new Supervisor({
    context: { services, catalog, expressions, metrics, log, topic: (name) => topicConfig(runtime, name) },
    parse,
    keep: stored.keep,
  })
  const close = async () => {
    metrics.close()
    await services.close()
    await lock.release()
  }
  try {
    const all = [...specs, ...(await stored.load(parse, log))]
    const { host, port, token } = runtime.server
    const auth = token === undefined ? undefined : { token }
    const context = {
      services,
      pipelines: supervisor,
      expressions,
      live: createLive({ services, expressions, auth, metrics, log }),
      auth,
      metrics,
      observe: createObserver(metrics, supervisor, services.embedderStats),
      log,
      ready: () => {
        const starting = supervisor.starting().map((name) => `pipeline ${name} is starting`)
        // A pipeline that has failed is no reason to keep requests from the others.
        return { ready: starting.length === 0, reasons: [...starting, ...supervisor.failures()] }
      },
      version: packageVersion(),
      limits: defaultServerLimits,
      dashboard: folderFiles(join(packageRoot(), 'dist/dashboard')),
    }
    const server = await listen(createApp(context), context, { host, port })
    await lock.update({ address: server.address })
    supervisor.start([...new Map(all.map((spec) => [spec.name, spec])).values()])
    return {
      address: server.address,
      pipelines: (await supervisor.list()).map(({ name }) => name),
      ended: supervisor.ended(),
      stop: async (signal) => {
        // The pipelines first: what they finish still reaches the clients.
        await supervisor.stop(signal)
        await server.close()
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

/** Pipelines that were put through the API, one file each. They outrank those of the same name that were started with. */
function storedPipelines(folder: string) {
  const fileOf = (name: string) => join(folder, `${name}.yaml`)
  return {
    async keep(name: string, text: string | undefined): Promise<void> {
      await mkdir(folder, { recursive: true })
      if (text === undefined) await rm(fileOf(name), { force: true })
      else await writeFile(fileOf(name), text)
    },
    async load(parse: Parse, log: Log): Promise<PipelineSpec[]> {
      const specs: PipelineSpec[] = []
      for (const file of (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.yaml')).sort()) {
        try {
          specs.push(await parse(await readFile(join(folder, file), 'utf8'), join(folder, file)))
        } catch (error) {
          log.error(`a stored pipeline cannot be started: ${errorMessage(error)}`)
        }
      }
      return specs
    },
  }
}
