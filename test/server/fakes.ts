import type { Embedder, EmbedOptions } from '../../src/core/embedder.ts'
import { NotFound } from '../../src/core/errors.ts'
import type { PipelineControl, PipelineStatus } from '../../src/core/pipeline.ts'
import type { Collection, Match, VectorQuery, VectorStore } from '../../src/core/vector-store.ts'

/** Pipelines that only have a state. */
export class FakePipelines implements PipelineControl {
  readonly #known = new Map<string, PipelineStatus>()

  async list(): Promise<PipelineStatus[]> {
    return [...this.#known.values()]
  }

  async get(name: string): Promise<PipelineStatus> {
    const status = this.#known.get(name)
    if (!status) throw new NotFound({ code: 'pipeline_not_found', message: `There is no pipeline "${name}".` })
    return status
  }

  async put(name: string, text: string): Promise<PipelineStatus> {
    const status: PipelineStatus = {
      name,
      state: 'running',
      source: ['tickets'],
      sinks: ['live'],
      lanes: [{ topic: 'tickets', partition: 0, committed: 1, end: 3, lag: 2 }],
      lag: 2,
      totals: { read: 1, written: 1, dropped: 0, deadLettered: 0 },
      rate: 1.5,
      latency: { p50: 2, p99: 9 },
      text,
    }
    this.#known.set(name, status)
    return status
  }

  async remove(name: string): Promise<void> {
    await this.get(name)
    this.#known.delete(name)
  }

  pause(name: string): Promise<PipelineStatus> {
    return this.#change(name, 'paused')
  }

  resume(name: string): Promise<PipelineStatus> {
    return this.#change(name, 'running')
  }

  async #change(name: string, state: PipelineStatus['state']): Promise<PipelineStatus> {
    const status = { ...(await this.get(name)), state }
    this.#known.set(name, status)
    return status
  }
}

/** Counts letters: texts with the same letters mean the same. */
export class FakeEmbedder implements Embedder {
  readonly model = 'letters'
  readonly fingerprint = 'letters-26'
  readonly dimension = 26
  readonly maxTokens = 512
  readonly prefixes = { query: '', passage: '' }
  embedded = 0
  /** Of the last call. */
  options: EmbedOptions | undefined

  async embed(texts: readonly string[], options: EmbedOptions = {}): Promise<Float32Array[]> {
    this.embedded += texts.length
    this.options = options
    return texts.map(letters)
  }

  async countTokens(texts: readonly string[]): Promise<number[]> {
    return texts.map((text) => text.split(/\s+/).length)
  }

  async close(): Promise<void> {}
}

/** The vector of length 1 that `FakeEmbedder` makes. */
export function letters(text: string): Float32Array {
  const vector = new Float32Array(26)
  for (const character of text.toLowerCase()) {
    const index = character.charCodeAt(0) - 97
    if (index >= 0 && index < 26) vector[index] = (vector[index] ?? 0) + 1
  }
  const length = Math.hypot(...vector) || 1
  return vector.map((value) => value / length)
}

/** One collection, `tickets`, with one match for every search. */
export class FakeVectors implements VectorStore {
  readonly fingerprint: string
  readonly queries: VectorQuery[] = []

  readonly #fields: Match['fields']

  constructor(fingerprint = 'letters-26', fields: Match['fields'] = match.fields) {
    this.fingerprint = fingerprint
    this.#fields = fields
  }

  readonly #collection: Collection = {
    spec: { name: 'tickets', fingerprint: 'letters-26', dimension: 26, fields: ['category'] },
    upsert: async () => [],
    delete: async () => undefined,
    search: async (query) => {
      this.queries.push(query)
      return [{ ...match, fields: this.#fields }]
    },
    count: async () => 1,
  }

  async open(): Promise<Collection> {
    return this.#collection
  }

  async find(name: string): Promise<Collection | undefined> {
    if (name !== 'tickets') return undefined
    return { ...this.#collection, spec: { ...this.#collection.spec, fingerprint: this.fingerprint } }
  }

  async collections() {
    return [{ spec: this.#collection.spec, count: 1 }]
  }

  async close(): Promise<void> {}
}

const match: Match = {
  id: 'tickets/0/0',
  score: 0.9,
  fields: { category: 'billing' },
  timestamp: 1,
  position: { topic: 'tickets', partition: 0, offset: 0 },
}
