import { resolve } from 'node:path'
import type { AnyProcessor, Outcome, Processor } from '../../src/core/component.ts'
import type { Embedder } from '../../src/core/embedder.ts'
import type { Event } from '../../src/core/event.ts'
import type { LaneState } from '../../src/core/state.ts'
import { createEmbedder, type EmbedderOptions, type LocalEmbedder } from '../../src/embedding/embedder.ts'
import { CommittedState, contextFor } from './support.ts'

const model = resolve(import.meta.dirname, '../../models/all-MiniLM-L6-v2')

export function openEmbedder(options: Partial<EmbedderOptions> = {}): Promise<LocalEmbedder> {
  return createEmbedder({ model, workers: 1, ...options })
}

/** A processor with the real embedder; it has no other service. */
export async function makeWith(embedder: Embedder, definition: AnyProcessor, options: unknown): Promise<Processor> {
  const context = contextFor(definition.name)
  const services = Object.create(context.services, { embedder: { value: () => Promise.resolve(embedder) } })
  return definition.create(options, { ...context, services })
}

export async function run(
  processor: Processor,
  batch: readonly Event[],
  state: LaneState = new CommittedState(),
): Promise<Outcome[]> {
  return processor.process(batch, { state, signal: new AbortController().signal })
}
