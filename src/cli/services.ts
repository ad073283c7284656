import { isAbsolute, join, resolve } from 'node:path'
import { openAnalytics } from '../../connectors/clickhouse/analytics.ts'
import { openEmbeddedLog } from '../../connectors/embedded-log/index.ts'
import { openEmbeddedLiveLog } from '../../connectors/embedded-log/live-log.ts'
import type { RedisServices } from '../../connectors/redis/index.ts'
import type { Runtime } from '../config/runtime.ts'
import type { Services } from '../core/services.ts'
import type { VectorStore } from '../core/vector-store.ts'
import type { Backend } from '../embedding/backend.ts'
import { type CachingEmbedder, createEmbedder, type EmbedderStats } from '../embedding/embedder.ts'
import { openLocalBackend } from '../embedding/local/index.ts'
import { readModel } from '../embedding/models/model.ts'
import type { ObserveRequest } from '../embedding/remote/index.ts'
import type { Warn } from '../embedding/warn.ts'
import { placedStore } from '../migration/placed-store.ts'
import { Places } from '../migration/places.ts'
import { createSerde } from '../serde/index.ts'
import type { Log, Metrics } from '../telemetry/index.ts'
import { makeFolder } from './folder.ts'
import { packageRoot } from './package.ts'
import { openVectorStore } from './vector-stores.ts'

export type Bindings = Omit<Runtime, 'file' | 'base' | 'pipelines' | 'server'>

export interface OpenServices extends Services {
  /** The vector store itself, and where its collections are: `vectors` finds them there. */
  readonly placed: { store(): Promise<VectorStore>; readonly places: Places }
  /** What the embedder has done so far, if it was needed. */
  embedderStats(): Promise<EmbedderStats | undefined>
  /** Closes what was opened. */
  close(): Promise<void>
}

/** Binds each role to what the runtime says. Nothing is opened, or even loaded, before it is asked for. */
export function openServices(bindings: Bindings, log?: Log, metrics?: Metrics): OpenServices {
  const { data, clickhouse, query, embedder } = bindings
  const folder = async (name: string) => {
    const path = join(data, name)
    await makeFolder(path)
    return path
  }
  const limits = { timeMs: query.timeout, rows: query.maxRows, memoryBytes: query.maxMemory }

  const warn = (message: string, fields?: Readonly<Record<string, unknown>>) => log?.warn(message, fields)
  const redis = lazily(async () => openRedisServices(bindings))
  const eventLog = lazily(async () => {
    if (bindings.kafka === undefined) return openEmbeddedLog(await folder('log'))
    const { openKafkaLog } = await import('../../connectors/kafka/index.ts')
    const state = bindings.redis === undefined ? undefined : (await redis.get()).state
    return openKafkaLog(bindings.kafka, { state, log: { warn } })
  })
  const live = lazily(async () =>
    bindings.redis === undefined ? openEmbeddedLiveLog(await folder('live')) : (await redis.get()).live,
  )
  const store = lazily(async () => openVectorStore(bindings, folder))
  const places = new Places(eventLog.get)
  const vectors = lazily(async () => placedStore(await store.get(), places))
  const analytics = lazily(async () =>
    openAnalytics(clickhouse ? { ...clickhouse, limits } : { embedded: await folder('clickhouse'), limits }),
  )
  const cache = async () => {
    if (bindings.redis !== undefined) return { shared: (await redis.get()).vectors }
    const maxBytes = embedder.cache.disk
    return maxBytes === 0 ? {} : { disk: { folder: await folder('embeddings'), maxBytes } }
  }
  const model = lazily<CachingEmbedder>(async () => {
    const kept = { ...(await cache()), memoryBytes: embedder.cache.memory }
    const backend = await openBackend(embedder, warn, metrics)
    return createEmbedder({ backend, ...kept, warn })
  })
  return {
    serde: createSerde({ folder: bindings.schemas, registry: bindings.schemaRegistry }),
    log: eventLog.get,
    live: live.get,
    vectors: vectors.get,
    placed: { store: store.get, places },
    analytics: analytics.get,
    embedder: model.get,
    ...(bindings.redis === undefined ? {} : { hashes: async () => (await redis.get()).hashes }),
    headersFor: (origin) => bindings.http[origin]?.headers ?? {},
    embedderStats: async () => (await model.opened())?.stats(),
    close: async () => {
      await Promise.all([model, analytics, store, live].map((service) => service.close()))
      await eventLog.close()
      await redis.close()
    },
  }
}

/** What computes vectors: a server, or threads of this process. */
async function openBackend(settings: Bindings['embedder'], warn: Warn, metrics: Metrics | undefined): Promise<Backend> {
  const { model, dimension, prefixes, workers, remote } = settings
  if (remote === undefined) return openLocalBackend({ model: await readModel(modelFolder(model)), workers, warn })
  const { openRemoteBackend } = await import('../embedding/remote/index.ts')
  const observe: ObserveRequest = (outcome, seconds) => metrics?.embedderRequestSeconds.observe({ outcome }, seconds)
  return openRemoteBackend({ ...remote, model, dimension, prefixes, warn, observe })
}

async function openRedisServices({ redis }: Bindings): Promise<RedisServices> {
  if (redis === undefined) throw new Error('Redis is not bound')
  const { openRedis } = await import('../../connectors/redis/index.ts')
  return openRedis(redis)
}

/** A model is named by its folder, or by a name among those that come with the package. */
export function modelFolder(model: string): string {
  if (isAbsolute(model) || model.startsWith('.')) return resolve(model)
  return join(packageRoot(), 'models', model)
}

interface Lazy<T> {
  get(): Promise<T>
  /** What was opened; undefined if nobody has asked for it, or if it could not be opened. */
  opened(): Promise<T | undefined>
  close(): Promise<void>
}

/** Opens once, when first asked; a failure to open is forgotten, so that the next one who asks tries again. */
function lazily<T extends { close(): Promise<void> }>(open: () => Promise<T>): Lazy<T> {
  let opening: Promise<T> | undefined
  return {
    get() {
      opening ??= open().catch((error: unknown) => {
        opening = undefined
        throw error
      })
      return opening
    },
    opened: async () => opening?.catch(() => undefined),
    async close() {
      await (await opening?.catch(() => undefined))?.close()
    },
  }
}
