import { resolve } from 'node:path'
import type { AnyProcessor, Outcome, Processor } from '../../src/core/component.ts'
import type { Embedder } from '../../src/core/embedder.ts'
import type { Event } from '../../src/core/event.ts'
import type { LaneState } from '../../src/core/state.ts'
import { type CachingEmbedder, createEmbedder, type EmbedderOptions } from '../../src/embedding/embedder.ts'
import { openLocalBackend } from '../../src/embedding/local/index.ts'
import { readModel } from '../../src/embedding/models/model.ts'
import { CommittedState, contextFor } from './support.ts'

const model = resolve(import.meta.dirname, '../../models/all-MiniLM-L6-v2')

type Options = Omit<EmbedderOptions, 'backend'> & { readonly crashOn?: string }

export async function openEmbedder({ crashOn, ...front }: Options = {}): Promise<CachingEmbedder> {
  const backend = openLocalBackend({ model: await readModel(model), workers: 1, crashOn })
  return createEmbedder({ backend, ...front })
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
