import type { AnySink } from '../core/component.ts'
import { didYouMean } from '../core/nearest.ts'
import type { Use } from './components.ts'
import type { ProblemList } from './problem.ts'
import type { Located } from './yaml.ts'

/** Checks that a test expects something only of outputs that the pipeline has: `live.tickets`, `dlq`. */
export function checkExpectations(
  tests: Located | undefined,
  sinks: readonly (Use<AnySink> | undefined)[],
  problems: ProblemList,
): void {
  // Without sinks there is another problem, and it is the one to see.
  if (sinks.length === 0) return
  const outputs = new Set(['dlq'])
  for (const sink of sinks) {
    const output = sink === undefined ? undefined : outputName(sink)
    // A sink that could not be understood may have any output.
    if (output === undefined) return
    outputs.add(output)
  }
  for (const test of tests?.items ?? []) {
    for (const [name, { key }] of test.entries?.get('expect')?.node.entries ?? []) {
      if (outputs.has(name)) continue
      problems.add(key, {
        code: 'unknown_output',
        message: `the pipeline has no output "${name}"${didYouMean(name, outputs)}`,
        hint: `its outputs: ${[...outputs].join(', ')}`,
      })
    }
  }
}

/** `live.tickets`: the sink's name and what its main option names. */
function outputName({ definition, options, valid }: Use<AnySink>): string | undefined {
  if (!valid || typeof options !== 'object' || options === null) return undefined
  const target = Object.entries(options).find(([key]) => key === definition.main)?.[1]
  return typeof target === 'string' ? `${definition.name}.${target}` : definition.name
}
