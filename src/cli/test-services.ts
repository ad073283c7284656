import { createExpressions } from '../expressions/index.ts'
import { catalog } from './catalog.ts'
import type { ReportDownload } from './download-report.ts'
import { PipelineTestRunner } from './pipeline-tests.ts'
import type { Project } from './project.ts'
import { modelPlaces, openServices } from './services.ts'

/** A runner whose tests use the project's schemas and model, and embedded stores in a folder that is removed again. */
export function openTestRunner({ runtime }: Project, downloading?: ReportDownload): Promise<PipelineTestRunner> {
  // Downloaded models stay where they are for other commands.
  const models = modelPlaces(runtime.data)
  const embedded = { kafka: undefined, schemaRegistry: undefined, clickhouse: undefined, vectors: undefined }
  return PipelineTestRunner.open({
    catalog,
    expressions: createExpressions(),
    open: (folder) =>
      openServices({ ...runtime, ...embedded, role: 'all', redis: undefined, data: folder }, { models, downloading }),
  })
}
