import type { QdrantClient } from '@qdrant/js-client-rest'
import { errorMessage, Fatal } from '../../src/core/errors.ts'

export interface QdrantSettings {
  /** `http://host:6333`, or `https://…` for TLS; a path in it goes in front of every request. */
  readonly url: string
  readonly apiKey?: string | undefined
}

const requestTimeoutMs = 60_000
const connections = 16

/** Loads the client when it is first needed. Throws `Fatal` (`qdrant_missing`) with what to install. */
export async function connect({ url, apiKey }: QdrantSettings): Promise<QdrantClient> {
  const { origin, pathname, protocol } = new URL(url)
  // A URL does not keep a port that is its protocol's own, and the client would take 6333 in its place.
  const named = /^[^/]*\/\/[^/?#]*:\d+(?:[/?#]|$)/.test(url)
  const { QdrantClient } = await load()
  return new QdrantClient({
    url: origin,
    ...(named ? { port: protocol === 'https:' ? 443 : 80 } : {}),
    ...(pathname === '/' ? {} : { prefix: pathname.replace(/\/$/, '') }),
    // As a header of ours: the client would print a warning about one that goes over http.
    ...(apiKey === undefined ? {} : { headers: { 'api-key': apiKey } }),
    timeout: requestTimeoutMs,
    maxConnections: connections,
    checkCompatibility: false,
  })
}

async function load(): Promise<typeof import('@qdrant/js-client-rest')> {
  try {
    return await import('@qdrant/js-client-rest')
  } catch (error) {
    throw new Fatal({
      code: 'qdrant_missing',
      message: `The client of Qdrant cannot be loaded: ${errorMessage(error)}`,
      hint: 'Install it with `npm install @qdrant/js-client-rest`, or bind `vectors:` in millrace.yaml to another store.',
      cause: error,
    })
  }
}
