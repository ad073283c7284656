import { onTestFinished } from 'vitest'
import type { Backend, Work } from '../../../src/embedding/backend.ts'
import { openRemoteBackend, type RemoteOptions } from '../../../src/embedding/remote/index.ts'
import { fakeVector } from './fake-openai.ts'

/** With the settings' defaults; closed with the test. */
export async function openBackend(url: string, options: Partial<RemoteOptions> = {}): Promise<Backend> {
  const backend = await openRemoteBackend({
    url,
    model: 'letters',
    prefixes: {},
    batch: 256,
    batchTokens: 50_000,
    concurrency: 4,
    timeout: 5_000,
    ...options,
  })
  onTestFinished(() => backend.close())
  return backend
}

export type Outcome = Float32Array | Error | 'dropped'

/** A text with a record of how it ended. */
export class RecordedWork implements Work {
  readonly text: string
  readonly priority: 'query' | 'bulk'
  readonly outcomes: Outcome[] = []
  readonly ended: Promise<Outcome>
  isWanted = true
  #end: (outcome: Outcome) => void = () => {}

  constructor(text: string, priority: 'query' | 'bulk' = 'bulk') {
    this.text = text
    this.priority = priority
    this.ended = new Promise((resolve) => {
      this.#end = resolve
    })
  }

  wanted(): boolean {
    return this.isWanted
  }

  done(vector: Float32Array): void {
    this.#ends(vector)
  }

  failed(error: Error): void {
    this.#ends(error)
  }

  dropped(): void {
    this.#ends('dropped')
  }

  #ends(outcome: Outcome): void {
    this.outcomes.push(outcome)
    this.#end(outcome)
  }
}

export function submit(
  backend: Backend,
  texts: readonly string[],
  priority: 'query' | 'bulk' = 'bulk',
): RecordedWork[] {
  const works = texts.map((text) => new RecordedWork(text, priority))
  for (const work of works) backend.submit(work)
  return works
}

export function outcomes(works: readonly RecordedWork[]): Promise<Outcome[]> {
  return Promise.all(works.map(({ ended }) => ended))
}

/** The vector that is right for a text of the fake server. */
export function rightVector(text: string, dimension = 8, width = 8): Float32Array {
  const first = fakeVector(text, width).subarray(0, dimension)
  const length = Math.sqrt(first.reduce((sum, value) => sum + value * value, 0))
  return first.map((value) => value / length)
}
