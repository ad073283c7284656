import type { Catalog } from '../core/component.ts'
import type { PipelineSpec } from '../core/pipeline.ts'
import { type Finding, type Problem, ProblemList } from './problem.ts'
import { type Path, readYaml, spanAt } from './yaml.ts'

/**
 * Checks that only show across pipelines: two of one name, and pipelines that feed themselves through topics. Each
 * problem stands in the file of the pipeline it is about.
 */
export function lintAll(specs: readonly PipelineSpec[], catalog: Catalog): Problem[] {
  return [...duplicateNames(specs), ...loops(specs, catalog)]
}

function duplicateNames(specs: readonly PipelineSpec[]): Problem[] {
  const first = new Map<string, PipelineSpec>()
  return specs.flatMap((spec) => {
    const other = first.get(spec.name)
    if (other === undefined) {
      first.set(spec.name, spec)
      return []
    }
    const message = `there is another pipeline "${spec.name}" in ${other.file}; give one of them another name`
    return problemAt(spec, ['name'], { code: 'duplicate_pipeline', message })
  })
}

/** A warning for each pipeline whose events come back to it. That may be meant, if something ends the circle. */
function loops(specs: readonly PipelineSpec[], catalog: Catalog): Problem[] {
  const readers = new Map<string, PipelineSpec[]>()
  for (const spec of specs) {
    for (const topic of topicsRead(spec)) readers.set(topic, [...(readers.get(topic) ?? []), spec])
  }
  return specs.flatMap((spec) => {
    const way = wayBack(spec, readers, catalog)
    if (way === undefined) return []
    const message = `events of this pipeline come back to it: ${way.join(' → ')}`
    const hint = 'make sure that something, such as a filter, ends the circle'
    return problemAt(spec, ['source'], { severity: 'warning', code: 'topic_loop', message, hint })
  })
}

/** The shortest way from a pipeline back to itself, as names of pipelines and topics in turn. */
function wayBack(
  start: PipelineSpec,
  readers: ReadonlyMap<string, readonly PipelineSpec[]>,
  catalog: Catalog,
): string[] | undefined {
  const seen = new Set<PipelineSpec>()
  const queue: { spec: PipelineSpec; way: string[] }[] = [{ spec: start, way: [start.name] }]
  for (const { spec, way } of queue) {
    for (const topic of topicsWritten(spec, catalog)) {
      for (const next of readers.get(topic) ?? []) {
        const longer = [...way, topic, next.name]
        if (next === start) return longer
        if (seen.has(next)) continue
        seen.add(next)
        queue.push({ spec: next, way: longer })
      }
    }
  }
  return undefined
}

/** The topics that a pipeline reads, or patterns of them. */
export function topicsRead({ source }: PipelineSpec): readonly string[] {
  return source.kind === 'topics' ? source.topics : []
}

export function topicsWritten({ sinks }: PipelineSpec, catalog: Catalog): readonly string[] {
  return sinks.flatMap(({ name, options }) => catalog.sinks.get(name)?.topics(options) ?? [])
}

function problemAt({ file, text }: PipelineSpec, path: Path, finding: Finding): readonly Problem[] {
  const problems = new ProblemList(file, text)
  const root = readYaml(text, problems)
  problems.add(root === undefined ? { start: 0, end: 1 } : spanAt(root, path), finding)
  return problems.all
}
