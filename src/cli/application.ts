import { createAccess } from '../access/index.ts'
import type { Runtime } from '../config/runtime.ts'
import type { PipelineControl } from '../core/pipeline.ts'
import { createExpressions } from '../expressions/index.ts'
import { Queries } from '../queries/index.ts'
import { createApp, createLive, defaultServerLimits } from '../server/index.ts'
import { createMetrics, type Log } from '../telemetry/index.ts'
import type { ReportDownload } from './download-report.ts'
import { packageVersion } from './package.ts'
import { findQueryFiles, lintQueries } from './query-files.ts'
import { openServices } from './services.ts'

/** The HTTP API without a network, on the runtime's data, for one command: whoever has the files may do everything. */
export async function openApplication(
  runtime: Runtime,
  pipelines: PipelineControl,
  log: Log,
  downloading?: ReportDownload,
) {
  const services = openServices(runtime, { log, downloading })
  const metrics = createMetrics()
  const access = await createAccess({})
  const { queries: named } = await lintQueries(await findQueryFiles(runtime), runtime.base)
  const queries = new Queries(named, services.analytics)
  const common = { services, queries, expressions: createExpressions({ bounded: true }), metrics, log, access }
  const live = createLive(common)
  const app = createApp({
    ...common,
    live,
    closing: live.closing,
    pipelines,
    limits: defaultServerLimits,
    version: packageVersion(),
    ready: () => ({ ready: true, reasons: [] }),
  })
  return {
    app,
    close: async () => {
      await live.close()
      metrics.close()
      await services.close()
    },
  }
}
