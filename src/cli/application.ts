import type { Runtime } from '../config/runtime.ts'
import type { PipelineControl } from '../core/pipeline.ts'
import { createExpressions } from '../expressions/index.ts'
import { createApp, createLive, defaultServerLimits } from '../server/index.ts'
import { createMetrics, type Log } from '../telemetry/index.ts'
import type { ReportDownload } from './download-report.ts'
import { packageVersion } from './package.ts'
import { openServices } from './services.ts'

/** The HTTP API without a network, on the runtime's data, for one command. */
export async function openApplication(
  runtime: Runtime,
  pipelines: PipelineControl,
  log: Log,
  downloading?: ReportDownload,
) {
  const services = openServices(runtime, { log, downloading })
  const metrics = createMetrics()
  const { token } = runtime.server
  const auth = token === undefined ? undefined : { token }
  const common = { services, expressions: createExpressions({ bounded: true }), metrics, log, auth }
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
