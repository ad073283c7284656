import type { PipelineFile } from './api.ts'

/** The live channels that a pipeline file names. The file is YAML, but its sinks are easily told from the rest. */
export function channelsOf(text: string): string[] {
  const found = text.matchAll(
    /^\s*-\s*\{?\s*live:\s*(?:\{[^}]*?channel:|(?:vector:\s*\S+\s+)?channel:)?\s*["']?([\w.-]+)/gm,
  )
  return [...new Set([...found].flatMap(([, name]) => (name === undefined ? [] : [name])))]
}

/** Whether its events have ids of their own, so that they are not known by where they stand in the topic. */
export function hasOwnIds(text: string): boolean {
  return /^id:/m.test(text)
}

/** Who reads a topic, and the channels they push to. */
export function readersOf(topic: string, files: readonly PipelineFile[]): PipelineFile[] {
  return files.filter(({ source }) => source.includes(topic))
}
