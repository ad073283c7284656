import { relative } from 'node:path'
import { topicsRead, topicsWritten } from '../config/lint-all.ts'
import type { Problem } from '../config/problem.ts'
import { errorMessage, InvalidInput, Retryable } from '../core/errors.ts'
import type { PipelineSpec } from '../core/pipeline.ts'
import { isTopicPattern } from '../core/topic-pattern.ts'
import type { OpenSerde } from '../serde/index.ts'
import { catalog } from './catalog.ts'

/**
 * Asks the bound registry, if there is one, whether it would take the schema files of all topics that the pipelines read or
 * write. That it cannot be asked is a warning: the files may be right all the same.
 */
export async function lintSchemas(
  specs: readonly PipelineSpec[],
  serde: OpenSerde,
  folder: string,
): Promise<readonly Problem[]> {
  const topics = new Set(specs.flatMap((spec) => [...topicsRead(spec), ...topicsWritten(spec, catalog)]))
  const problems: Problem[] = []
  for (const topic of topics) {
    if (isTopicPattern(topic)) continue
    try {
      const found = await serde.incompatibility(topic)
      for (const reason of found?.reasons ?? []) {
        const message = `the registry's latest schema of the topic "${topic}" forbids this one: ${reason}`
        const hint = 'change it so that existing readers and values still fit'
        problems.push(problemOf(relative(folder, found?.file ?? ''), 1, 'error', 'incompatible_schema', message, hint))
      }
    } catch (error) {
      if (error instanceof Retryable) {
        const message = `the schemas were not checked for compatibility: ${errorMessage(error)}`
        return [...problems, problemOf('millrace.yaml', 0, 'warning', error.code, message, error.hint)]
      }
      // What is wrong with the file itself was said where a pipeline names its topic.
      if (!(error instanceof InvalidInput)) throw error
    }
  }
  return problems
}

function problemOf(
  file: string,
  line: 0 | 1,
  severity: Problem['severity'],
  code: string,
  message: string,
  hint: string | undefined,
): Problem {
  return { file, line, column: line, length: 1, severity, code, message, ...(hint === undefined ? {} : { hint }) }
}
