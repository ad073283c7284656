import { AsyncLocalStorage } from 'node:async_hooks'
import type { Index, IndexModel, Pinecone } from '@pinecone-database/pinecone'
import { Fatal, MillraceError, Retryable } from '../../src/core/errors.ts'
import { isNotFound, pineconeFailure, responseFailure } from './failure.ts'
import { loadSdk } from './sdk.ts'
import { elapsed, pause } from './waiting.ts'

export interface PineconeSettings {
  readonly apiKey: string
  /** The index; each collection is a namespace in it. */
  readonly index: string
  /** Where the control plane is, if it is not Pinecone's own. */
  readonly host?: string | undefined
  /** Where an index is made if it is not there. */
  readonly cloud: string
  readonly region: string
}

/** What an answer says about writes: Pinecone numbers those of a namespace. */
export interface Sequence {
  /** The number of the write that was answered. */
  readonly written?: number | undefined
  /** Every write up to this one is in the answer. */
  readonly indexed?: number | undefined
}

const callTimeoutMs = 60_000
const readyTimeoutMs = 120_000
const clouds = ['aws', 'gcp', 'azure'] as const

/** The connection to one index. */
export class Connection {
  readonly settings: PineconeSettings
  readonly #client: Pinecone
  /** What the answers to the call in progress said in their headers, which the SDK does not hand on. */
  readonly #sequences = new AsyncLocalStorage<{ written?: number | undefined; indexed?: number | undefined }>()
  #index: { readonly target: Index; readonly dimension: number } | undefined

  constructor(settings: PineconeSettings) {
    this.settings = settings
    const { apiKey, host } = settings
    this.#client = new (loadSdk().Pinecone)({
      apiKey,
      // Who calls decides what is tried again.
      maxRetries: 0,
      fetchApi: (input: string | URL | Request, init?: RequestInit) => this.#fetch(input, init),
      ...(host === undefined ? {} : { controllerHostUrl: host }),
    })
  }

  /** Calls one operation of the index. Throws one of our errors. `doing` completes "Pinecone failed …". */
  async call<T>(doing: string, work: (index: Index) => Promise<T>): Promise<{ answer: T; sequence: Sequence }> {
    const { target } = await this.#known()
    const sequence: Sequence = {}
    const answer = await this.#attempt(doing, () => this.#sequences.run(sequence, () => work(target)))
    return { answer, sequence }
  }

  /** The dimension of the index; undefined if there is no index. */
  async dimension(): Promise<number | undefined> {
    if (this.#index !== undefined) return this.#index.dimension
    const model = await this.#describe()
    return model === undefined ? undefined : (await this.#target(model)).dimension
  }

  /** Makes the index if it is not there, and answers its dimension. Whoever else makes it at the same time is welcome. */
  async ensure(dimension: number): Promise<number> {
    const existing = await this.dimension()
    if (existing !== undefined) return existing
    const { index, cloud: wanted, region } = this.settings
    const cloud = clouds.find((each) => each === wanted)
    if (cloud === undefined) {
      throw new Fatal({
        code: 'bad_cloud',
        message: `\`vectors.pinecone.cloud\` is "${wanted}"; there are ${clouds.join(', ')}.`,
      })
    }
    await this.#attempt(`making the index "${index}"`, () =>
      this.#client.createIndex({
        name: index,
        dimension,
        metric: 'cosine',
        spec: { serverless: { cloud, region } },
        suppressConflicts: true,
      }),
    )
    const made = await this.dimension()
    if (made === undefined) throw this.#gone()
    return made
  }

  async #known(): Promise<{ readonly target: Index; readonly dimension: number }> {
    if (this.#index !== undefined) return this.#index
    const model = await this.#describe()
    if (model === undefined) throw this.#gone()
    return this.#target(model)
  }

  async #describe(): Promise<IndexModel | undefined> {
    const { index } = this.settings
    return this.#attempt(`reading the index "${index}"`, async () => {
      try {
        return await this.#client.describeIndex(index)
      } catch (error) {
        if (isNotFound(error)) return undefined
        throw error
      }
    })
  }

  /** Waits until a new index is ready. */
  async #target(model: IndexModel): Promise<{ readonly target: Index; readonly dimension: number }> {
    const { index, host } = this.settings
    const since = Date.now()
    let current: IndexModel | undefined = model
    for (let turn = 0; !current?.status.ready; turn++) {
      if (elapsed(since, readyTimeoutMs)) {
        throw new Retryable({ code: 'vectors_unavailable', message: `The Pinecone index "${index}" is not ready yet.` })
      }
      await pause(turn)
      current = await this.#describe()
      if (current === undefined) throw this.#gone()
    }
    const { metric, dimension, host: dataHost } = current
    if (metric !== 'cosine' || dimension === undefined) {
      throw new Fatal({
        code: 'index_unsuitable',
        message: `The Pinecone index "${index}" has the metric ${metric} and ${dimension ?? 'no'} dimensions; Millrace needs dense vectors and the metric cosine.`,
        hint: 'Name another index with `vectors.pinecone.index`; it is made if it is not there.',
      })
    }
    // Pinecone Local speaks HTTP, and names its hosts without saying so.
    const plain = host?.startsWith('http://') && !/^https?:/.test(dataHost)
    this.#index = { target: this.#client.index({ host: plain ? `http://${dataHost}` : dataHost }), dimension }
    return this.#index
  }

  #gone(): Fatal {
    const { index } = this.settings
    return new Fatal({
      code: 'collection_gone',
      message: `Pinecone has no index "${index}" any more.`,
      hint: 'Start the pipeline again to make it anew, and replay it to fill it.',
    })
  }

  async #attempt<T>(doing: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw error instanceof MillraceError ? error : pineconeFailure(doing, error)
    }
  }

  async #fetch(input: string | URL | Request, init: RequestInit | undefined): Promise<Response> {
    const response = await fetch(input, { ...init, signal: AbortSignal.timeout(callTimeoutMs) })
    const sequence = this.#sequences.getStore()
    if (sequence !== undefined) {
      sequence.written = headerNumber(response, 'x-pinecone-request-lsn') ?? sequence.written
      sequence.indexed = headerNumber(response, 'x-pinecone-max-indexed-lsn') ?? sequence.indexed
    }
    const failure = responseFailure(response)
    if (failure === undefined) return response
    await response.body?.cancel()
    throw failure
  }
}

function headerNumber(response: Response, name: string): number | undefined {
  const value = response.headers.get(name)
  return value !== null && /^\d+$/.test(value) ? Number(value) : undefined
}
