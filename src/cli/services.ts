import { join } from 'node:path'
import { openAnalytics } from '../../connectors/clickhouse/analytics.ts'
import { openEmbeddedLog } from '../../connectors/embedded-log/index.ts'
import { openEmbeddedLiveLog } from '../../connectors/embedded-log/live-log.ts'
import type { RedisServices } from '../../connectors/redis/index.ts'
import type { Runtime } from '../config/runtime.ts'
import { type Fatal, Retryable } from '../core/errors.ts'
import type { Services } from '../core/services.ts'
import type { VectorStore } from '../core/vector-store.ts'
import type { Backend } from '../embedding/backend.ts'
import { type CachingEmbedder, createEmbedder, type EmbedderStats } from '../embedding/embedder.ts'
import { openLocalBackend } from '../embedding/local/index.ts'
import { type ModelPlaces, openModel } from '../embedding/models/locate.ts'
import type { ObserveRequest } from '../embedding/remote/index.ts'
import type { Warn } from '../embedding/warn.ts'
import { placedStore } from '../migration/placed-store.ts'
import { Places } from '../migration/places.ts'
import { createSerde } from '../serde/index.ts'
import type { Log, Metrics } from '../telemetry/index.ts'
import type { ReportDownload } from './download-report.ts'
import { makeFolder } from './folder.ts'
import { packageRoot } from './package.ts'
import { assertEmbedded, type Embeddable } from './role-bindings.ts'
import { openVectorStore } from './vector-stores.ts'

export type Bindings = Omit<Runtime, 'file' | 'base' | 'pipelines' | 'server'>

export interface OpenServices extends Services {
  /** The vector store itself, and where its collections are: `vectors` finds them there. */
  readonly placed: { store(): Promise<VectorStore>; readonly places: Places }
  /** What the embedder has done so far, if it was needed. */
  embedderStats(): Promise<EmbedderStats | undefined>
  /** Gives up what is still being downloaded, with which the next start goes on, and a server that is not heard of yet. */
  stopDownloads(): void
  /** Closes what was opened. */
  close(): Promise<void>
}

export interface ServiceOptions {
  readonly log?: Log | undefined
  readonly metrics?: Metrics | undefined
  /** Where models are. Default: `modelPlaces` of the bindings' data folder. */
  readonly models?: ModelPlaces | undefined
  /** Told how far the download of a model is. */
  readonly downloading?: ReportDownload | undefined
  /** Told that the embedder has broken down for good. */
  readonly embedderEnded?: ((error: Fatal) => void) | undefined
}

/**
 * Binds each part to what the runtime says. Nothing is opened, or even loaded, before it is asked for; what the process's
 * role has on servers only is then refused with `not_bound`.
 */
export function openServices(bindings: Bindings, options: ServiceOptions = {}): OpenServices {
  const { log } = options
  const { data, role, clickhouse, query, embedder } = bindings
  const folder = async (name: string) => {
    const path = join(data, name)
    await makeFolder(path)
    return path
  }
  const embedded = (part: Embeddable, name: string) => {
    assertEmbedded(role, part)
    return folder(name)
  }
  const limits = { timeMs: query.timeout, rows: query.maxRows, memoryBytes: query.maxMemory }

  const ending = new AbortController()
  const stopDownloads = () => ending.abort(new Retryable({ code: 'stopping', message: 'the process is about to end' }))
  const warn = (message: string, fields?: Readonly<Record<string, unknown>>) => log?.warn(message, fields)
  const redis = lazily(async () => openRedisServices(bindings))
  const eventLog = lazily(async () => {
    if (bindings.kafka === undefined) return openEmbeddedLog(await embedded('topics', 'log'))
    const { openKafkaLog } = await import('../../connectors/kafka/index.ts')
    const state = bindings.redis === undefined ? undefined : (await redis.get()).state
    return openKafkaLog(bindings.kafka, { state, log: { warn } })
  })
  const live = lazily(async () =>
    bindings.redis === undefined ? openEmbeddedLiveLog(await embedded('channels', 'live')) : (await redis.get()).live,
  )
  const store = lazily(async () => openVectorStore(bindings, (name) => embedded('collections', name)))
  const places = new Places(eventLog.get)
  const vectors = lazily(async () => placedStore(await store.get(), places))
  const analytics = lazily(async () =>
    openAnalytics(
      clickhouse ? { ...clickhouse, limits } : { embedded: await embedded('tables', 'clickhouse'), limits },
    ),
  )
  const cache = async () => {
    if (bindings.redis !== undefined) return { shared: (await redis.get()).vectors }
    const maxBytes = embedder.cache.disk
    return maxBytes === 0 ? {} : { disk: { folder: await folder('embeddings'), maxBytes } }
  }
  const model = lazily<CachingEmbedder>(async () => {
    const kept = { ...(await cache()), memoryBytes: embedder.cache.memory }
    const backend = await openBackend(bindings, options, warn, ending.signal)
    return createEmbedder({ backend, ...kept, warn, ended: options.embedderEnded })
  })
  return {
    serde: createSerde({ folder: bindings.schemas, registry: bindings.schemaRegistry }),
    log: eventLog.get,
    live: live.get,
    vectors: vectors.get,
    placed: { store: store.get, places },
    analytics: analytics.get,
    embedder: model.get,
    ...(bindings.redis === undefined
      ? {}
      : { hashes: async () => (await redis.get()).hashes, presence: async () => (await redis.get()).presence }),
    headersFor: (origin) => bindings.http[origin]?.headers ?? {},
    embedderStats: async () => model.opened()?.stats(),
    stopDownloads,
    close: async () => {
      stopDownloads()
      await Promise.all([model, analytics, store, live].map((service) => service.close()))
      await eventLog.close()
      await redis.close()
    },
  }
}

/** What computes vectors: a server, or threads of this process. */
async function openBackend(
  { embedder, data }: Bindings,
  { metrics, models = modelPlaces(data), downloading }: ServiceOptions,
  warn: Warn,
  signal: AbortSignal,
): Promise<Backend> {
  const { model, dimension, prefixes, workers, remote } = embedder
  if (remote === undefined) {
    const opened = await openModel({ ...embedder, ...models, signal, progress: downloading })
    return openLocalBackend({ model: opened, workers, warn })
  }
  const { openRemoteBackend } = await import('../embedding/remote/index.ts')
  const observe: ObserveRequest = (outcome, seconds) => metrics?.embedderRequestSeconds.observe({ outcome }, seconds)
  return openRemoteBackend({ ...remote, model, dimension, prefixes, signal, warn, observe })
}

async function openRedisServices({ redis }: Bindings): Promise<RedisServices> {
  if (redis === undefined) throw new Error('Redis is not bound')
  const { openRedis } = await import('../../connectors/redis/index.ts')
  return openRedis(redis)
}

/** Models come with the package, or are downloaded to the data folder. */
export function modelPlaces(data: string): ModelPlaces {
  return { shipped: join(packageRoot(), 'models'), downloaded: join(data, 'models') }
}

interface Lazy<T> {
  get(): Promise<T>
  /** What is open now; undefined if nobody has asked for it, if it is being opened, or if it could not be. */
  opened(): T | undefined
  close(): Promise<void>
}

/** Opens once, when first asked; a failure to open is forgotten, so that the next one who asks tries again. */
function lazily<T extends { close(): Promise<void> }>(open: () => Promise<T>): Lazy<T> {
  let opening: Promise<T> | undefined
  let opened: T | undefined
  return {
    get() {
      opening ??= open().then(
        (service) => {
          opened = service
          return service
        },
        (error: unknown) => {
          opening = undefined
          throw error
        },
      )
      return opening
    },
    opened: () => opened,
    async close() {
      await (await opening?.catch(() => undefined))?.close()
    },
  }
}
