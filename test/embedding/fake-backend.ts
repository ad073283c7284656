import type { Backend, Work } from '../../src/embedding/backend.ts'

/** Computes nothing by itself: its works wait until the test ends them. */
export class FakeBackend implements Backend {
  readonly model = 'fake'
  readonly fingerprint = 'fake'
  readonly dimension = 1
  readonly maxTokens = 256
  readonly prefixes = { query: 'query: ', passage: '' }
  readonly works: Work[] = []
  readonly hurried: Work[] = []
  closed = 0

  submit(work: Work): void {
    this.works.push(work)
  }

  hurry(work: Work): void {
    this.hurried.push(work)
  }

  /** Takes a work out; the test ends it. */
  take(at = 0): Work {
    const [work] = this.works.splice(at, 1)
    if (work === undefined) throw new Error('there is no work')
    return work
  }

  /** A vector of one number: how long the text is. */
  finish(at = 0): void {
    const work = this.take(at)
    work.done(Float32Array.of(work.text.length))
  }

  countTokens(texts: readonly string[]): Promise<number[]> {
    return Promise.resolve(texts.map((text) => text.length))
  }

  stats() {
    return { computed: 0, tokens: 0, truncated: 0, batches: 0, threads: 1, restarts: 0 }
  }

  close(): Promise<void> {
    this.closed++
    return Promise.resolve()
  }
}
