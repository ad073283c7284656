import type { Backend } from '../backend.ts'
import type { Warn } from '../warn.ts'
import { learnDialect, type Wishes } from './dialect.ts'
import { HttpServer, type ObserveRequest } from './http-server.ts'
import { RemoteBackend } from './remote-backend.ts'

export type { ObserveRequest } from './http-server.ts'

/** As in the runtime: `embedder.remote`, with the model. */
export interface RemoteOptions extends Wishes {
  /** Before `/embeddings`. */
  readonly url: string
  readonly apiKey?: string | undefined
  /** Most texts, and most estimated tokens, in one request. */
  readonly batch: number
  readonly batchTokens: number
  /** Most requests at a time. */
  readonly concurrency: number
  readonly requestsPerMinute?: number | undefined
  readonly tokensPerMinute?: number | undefined
  /** Milliseconds that one request may take. */
  readonly timeout: number
  /** Gives up the opening, which then throws its reason. */
  readonly signal?: AbortSignal | undefined
  readonly warn?: Warn | undefined
  /** Told of each request, how it ended and how many seconds it took. */
  readonly observe?: ObserveRequest | undefined
}

/**
 * An OpenAI-compatible server as what computes vectors. Asks it for what it is: the fingerprint of a Millrace is the
 * server's own, so that its vectors and those of the same model in a process go together; any other server's follows
 * from the model's name, dimension and prefixes, wherever it stands. Throws `Retryable` (`embedder_unavailable`) when
 * the server does not answer, and `Fatal` (`model_unusable`) when the settings do not fit it.
 */
export async function openRemoteBackend(options: RemoteOptions): Promise<Backend> {
  const { signal } = options
  const server = new HttpServer(options)
  const giveUp = () => server.close()
  signal?.throwIfAborted()
  signal?.addEventListener('abort', giveUp, { once: true })
  try {
    return new RemoteBackend(server, await learnDialect(server, options), options)
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  } finally {
    signal?.removeEventListener('abort', giveUp)
  }
}
