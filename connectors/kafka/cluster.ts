import type Broker from 'kafkajs/src/broker/index.js'
import type { Metadata } from 'kafkajs/src/broker/index.js'
import type Cluster from 'kafkajs/src/cluster/index.js'
import type { Logger } from 'kafkajs/src/loggers/index.js'
import type { ConnectionPool } from 'kafkajs/src/network/connectionPool.js'
import { errorCode, Fatal } from '../../src/core/errors.ts'
import { saslOptions, tlsOptions } from './authentication.ts'
import { explain } from './errors.ts'
import { quietQueues } from './quiet-queues.ts'
import type { KafkaSettings, Warn } from './settings.ts'

export type { Broker, Cluster }

export interface ClusterOptions {
  readonly warn?: Warn | undefined
  /** How long the answer to a request may take, milliseconds. Default 30,000. */
  readonly requestTimeout?: number | undefined
}

/**
 * Connects to the cluster. Each `Cluster` has connections of its own: a broker answers the requests of one connection
 * one after the other, so what waits long (fetches, joining a group) must not share one with what is urgent. `purpose`
 * tells them apart in messages. Throws `Retryable`, or `Fatal` where trying again cannot help.
 */
export async function openCluster(
  settings: KafkaSettings,
  purpose: string,
  { warn, requestTimeout = 30_000 }: ClusterOptions = {},
): Promise<Cluster> {
  const modules = await loadModules()
  quietQueues(modules.RequestQueue.prototype)
  const ssl = await tlsOptions(settings)
  const cluster = new modules.Cluster({
    brokers: settings.brokers,
    clientId: settings.clientId,
    ssl,
    sasl: saslOptions(settings),
    logger: routed(purpose, warn),
    socketFactory: patientSockets(modules.createSocketFactory()),
    connectionTimeout: 10_000,
    authenticationTimeout: 10_000,
    reauthenticationThreshold: 10_000,
    requestTimeout,
    enforceRequestTimeout: true,
    metadataMaxAge: 5 * 60_000,
    allowAutoTopicCreation: false,
    isolationLevel: 1,
    retry: { retries: 4, initialRetryTime: 100, maxRetryTime: 1000 },
  })
  tolerateBrokenTopics(cluster, modules.metadataRequest)
  tellWhyNoCoordinator(cluster)
  tuneConnecting(cluster, settings.brokers.map(addressOf))
  try {
    await cluster.connect()
    // Without a topic to ask for, a cluster answers with all of its topics.
    cluster.targetTopics.add(anyTopic)
    await cluster.refreshMetadata()
    return cluster
  } catch (error) {
    await cluster.disconnect().catch(() => undefined)
    throw explain(error, `cannot connect to ${settings.brokers.join(', ')}`)
  }
}

/** It need not exist. */
const anyTopic = 'millrace.state'

async function loadModules() {
  try {
    const [cluster, sockets, queue, metadata] = await Promise.all([
      import('kafkajs/src/cluster/index.js'),
      import('kafkajs/src/network/socketFactory.js'),
      import('kafkajs/src/network/requestQueue/index.js'),
      import('kafkajs/src/protocol/requests/metadata/index.js'),
    ])
    return {
      Cluster: cluster.default,
      createSocketFactory: sockets.default,
      RequestQueue: queue.default,
      metadataRequest: metadata.default,
    }
  } catch (cause) {
    if (errorCode(cause) !== 'ERR_MODULE_NOT_FOUND') throw cause
    throw new Fatal({
      code: 'package_missing',
      message: 'topics on Kafka need the package "kafkajs"',
      hint: 'npm install kafkajs@2.2.4',
      cause,
    })
  }
}

type SocketFactory = ReturnType<Awaited<ReturnType<typeof loadModules>>['createSocketFactory']>

/** With every try to close a connection that is not open yet, kafkajs adds another listener to its socket. */
function patientSockets(create: SocketFactory): SocketFactory {
  return (options) => create(options).setMaxListeners(0)
}

interface Address {
  readonly host: string
  readonly port: number
}

/** `host`, `host:port`, or an IPv6 address in brackets with or without a port. */
function addressOf(broker: string): Address {
  const [, bracketed, plain = broker, port = '9092'] = /^(?:\[(.+)\]|([^:]+))(?::(\d+))?$/.exec(broker) ?? []
  return { host: bracketed ?? plain, port: Number(port) }
}

/**
 * Only the warnings of kafkajs are passed on: its errors reach whoever called as well, and what it says of connections
 * that come and go is of no use to anyone who reads the log.
 */
function routed(purpose: string, warn: Warn | undefined): Logger {
  const nothing = () => undefined
  const logger: Logger = {
    info: nothing,
    debug: nothing,
    error: nothing,
    warn: (message) => warn?.(`Kafka (${purpose}): ${message}`),
    namespace: () => logger,
    setLogLevel: nothing,
  }
  return logger
}

const metadataKey = 3

type MetadataDefinition = Awaited<ReturnType<typeof loadModules>>['metadataRequest']

/**
 * kafkajs refuses a whole answer about topics if one of them is unknown or has no leader, so one deleted topic would make
 * all others unusable. Here such topics are left out of the answer, and such partitions have -1 as leader.
 */
function tolerateBrokenTopics({ brokerPool }: Cluster, definition: MetadataDefinition): void {
  const create = brokerPool.createBroker
  const newest = Math.max(...definition.versions.map(Number))
  brokerPool.createBroker = (options) => {
    const broker = create(options)
    broker.metadata = async (topics = []) => {
      const version = Math.min(newest, broker.versions?.[metadataKey]?.maxVersion ?? newest)
      const { request, response } = definition.protocol({ version })({ topics, allowAutoTopicCreation: false })
      return broker.connectionPool.send({
        request,
        response: {
          decode: (payload: Buffer) => response.decode(payload),
          parse: async (decoded: object): Promise<Metadata> => usable(decoded),
        },
      })
    }
    return broker
  }
}

function usable(decoded: object): Metadata {
  if (!isMetadata(decoded)) throw new Error('the brokers answered something that is no metadata')
  return { ...decoded, topicMetadata: decoded.topicMetadata.filter(({ topicErrorCode }) => topicErrorCode === 0) }
}

function isMetadata(decoded: object): decoded is Metadata {
  return 'brokers' in decoded && 'topicMetadata' in decoded && Array.isArray(decoded.topicMetadata)
}

/** kafkajs asks one broker after the other and swallows what they say, also that the user may not know. */
function tellWhyNoCoordinator(cluster: Cluster): void {
  cluster.findGroupCoordinatorMetadata = async (options) =>
    (await cluster.brokerPool.findConnectedBroker()).findGroupCoordinator(options)
}

/**
 * Two requests that find a connection closed would each open it, and one of the two would leak. And kafkajs would cut the
 * address of a first broker at its first colon.
 */
function tuneConnecting({ connectionPoolBuilder }: Cluster, seeds: readonly Address[]): void {
  const build = connectionPoolBuilder.build
  let turn = 0
  connectionPoolBuilder.build = async (destination) => {
    const seed = seeds[turn % seeds.length]
    if (destination === undefined) turn++
    const pool: ConnectionPool = await build(destination ?? (seed && { ...seed, rack: null }))
    const open = pool.getConnection.bind(pool)
    const opening = new Map<number, Promise<object>>()
    pool.getConnection = (index = 0) => {
      const shared = opening.get(index)
      if (shared !== undefined) return shared
      const fresh = open(index).finally(() => opening.delete(index))
      opening.set(index, fresh)
      return fresh
    }
    return pool
  }
}
