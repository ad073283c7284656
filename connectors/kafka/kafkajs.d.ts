/**
 * The inner modules of kafkajs 2.2.4 that are used, as they behave. The package has no `exports`, so they can be
 * imported by path. Numbers of 64 bits come and go as decimal strings.
 */

declare module 'kafkajs/src/cluster/index.js' {
  import type { Socket } from 'node:net'
  import type Broker from 'kafkajs/src/broker/index.js'
  import type { Metadata, PartitionMetadata } from 'kafkajs/src/broker/index.js'
  import type { Logger } from 'kafkajs/src/loggers/index.js'
  import type { ConnectionPool } from 'kafkajs/src/network/connectionPool.js'

  export interface RetryOptions {
    readonly retries?: number
    readonly initialRetryTime?: number
    readonly maxRetryTime?: number
  }

  export interface ClusterOptions {
    readonly brokers: readonly string[]
    readonly clientId: string
    /** Options of `tls.connect`, or `true`. */
    readonly ssl?: object | boolean | undefined
    readonly sasl?: object | undefined
    readonly logger: Logger
    readonly socketFactory: (options: never) => Socket
    readonly connectionTimeout: number
    readonly authenticationTimeout: number
    readonly reauthenticationThreshold: number
    readonly requestTimeout: number
    readonly enforceRequestTimeout: boolean
    readonly metadataMaxAge: number
    readonly allowAutoTopicCreation: boolean
    readonly maxInFlightRequests?: number | null
    /** 1 is read_committed. Used by `fetchTopicsOffset`. */
    readonly isolationLevel: 0 | 1
    readonly retry: RetryOptions
  }

  export interface ConnectionPoolBuilder {
    build(destination?: { host: string; port: number; rack: string | null }): Promise<ConnectionPool>
  }

  export default class Cluster {
    constructor(options: ClusterOptions)
    readonly connectionPoolBuilder: ConnectionPoolBuilder
    readonly brokerPool: {
      readonly metadata: Metadata | null
      /** By node id. */
      readonly brokers: Readonly<Record<string, Broker>>
      createBroker(options: object): Broker
      /** Answers `null` when the callback failed on every broker: its errors are swallowed. */
      withBroker<T>(callback: (found: { nodeId: string; broker: Broker }) => Promise<T>): Promise<T | null>
      findConnectedBroker(): Promise<Broker>
    }
    /** The topics that `refreshMetadata` asks for; all topics while it is empty. */
    targetTopics: Set<string>
    isConnected(): boolean
    connect(): Promise<void>
    /** Waits for the requests that are under way. */
    disconnect(): Promise<void>
    /** Concurrent calls share one request, so a topic that was added meanwhile may be missing from the answer. */
    refreshMetadata(): Promise<void>
    refreshMetadataIfNecessary(): Promise<void>
    addMultipleTargetTopics(topics: readonly string[]): Promise<void>
    getNodeIds(): string[]
    findBroker(options: { nodeId: string | number }): Promise<Broker>
    findControllerBroker(): Promise<Broker>
    /** Empty for a topic that is not known. */
    findTopicPartitionMetadata(topic: string): PartitionMetadata[]
    /** Partitions by the id of their leader. Partitions that are not known are left out. */
    findLeaderForPartitions(topic: string, partitions: readonly number[]): Record<string, number[]>
    /** `coordinatorType`: 0 for groups (default), 1 for transactions. */
    findGroupCoordinator(options: { groupId: string; coordinatorType?: 0 | 1 }): Promise<Broker>
    /** What `findGroupCoordinator` asks, and asks again while no coordinator is available. */
    findGroupCoordinatorMetadata(options: {
      groupId: string
      coordinatorType: 0 | 1
    }): Promise<{ readonly coordinator: { nodeId: number; host: string; port: number } }>
    removeBroker(address: { host: string; port: number }): void
  }
}

declare module 'kafkajs/src/broker/index.js' {
  import type { ConnectionPool } from 'kafkajs/src/network/connectionPool.js'

  export interface PartitionMetadata {
    readonly partitionErrorCode: number
    readonly partitionId: number
    /** -1 while there is none. */
    readonly leader: number
    readonly replicas: readonly number[]
    readonly isr: readonly number[]
  }

  export interface Metadata {
    readonly brokers: readonly { nodeId: number; host: string; port: number; rack: string | null }[]
    readonly clusterId: string
    readonly controllerId: number
    readonly topicMetadata: readonly {
      readonly topicErrorCode: number
      readonly topic: string
      readonly isInternal: boolean
      readonly partitionMetadata: readonly PartitionMetadata[]
    }[]
  }

  export interface FetchTopic {
    readonly topic: string
    readonly partitions: readonly { partition: number; fetchOffset: string | number; maxBytes: number }[]
  }

  export interface MemberAssignment {
    readonly memberId: string
    readonly memberAssignment: Buffer
  }

  export interface OffsetsTopic {
    readonly topic: string
    readonly partitions: readonly { partition: number; offset: string; metadata?: string | null }[]
  }

  /** Every method throws a `KafkaJSProtocolError` for the first error code in an answer. */
  export default class Broker {
    readonly nodeId: number | null
    readonly versions: Readonly<Record<number, { minVersion: number; maxVersion: number }>> | null
    readonly connectionPool: ConnectionPool
    isConnected(): boolean
    connect(): Promise<void>
    disconnect(): Promise<void>
    metadata(topics?: readonly string[]): Promise<Metadata>
    /** `timestamp`: -1 for the end, -2 for the start. */
    listOffsets(options: {
      readonly replicaId: number
      readonly isolationLevel: 0 | 1
      readonly topics: readonly {
        readonly topic: string
        readonly partitions: readonly { partition: number; timestamp: number | string }[]
      }[]
    }): Promise<{
      readonly responses: readonly {
        readonly topic: string
        readonly partitions: readonly { partition: number; errorCode: number; offset: string }[]
      }[]
    }>
    findGroupCoordinator(options: {
      readonly groupId: string
      readonly coordinatorType: 0 | 1
    }): Promise<{ readonly coordinator: { nodeId: number; host: string; port: number } }>
    /** Asks again by itself when the coordinator wants a member id first. */
    joinGroup(options: {
      readonly groupId: string
      readonly sessionTimeout: number
      readonly rebalanceTimeout: number
      readonly memberId?: string
      readonly protocolType?: string
      readonly groupProtocols: readonly { readonly name: string; readonly metadata: Buffer }[]
    }): Promise<{
      readonly generationId: number
      readonly groupProtocol: string
      readonly leaderId: string
      readonly memberId: string
      readonly members: readonly { readonly memberId: string; readonly memberMetadata: Buffer }[]
    }>
    syncGroup(options: {
      readonly groupId: string
      readonly generationId: number
      readonly memberId: string
      readonly groupAssignment: readonly MemberAssignment[]
    }): Promise<{ readonly memberAssignment: Buffer }>
    heartbeat(options: {
      readonly groupId: string
      readonly groupGenerationId: number
      readonly memberId: string
    }): Promise<unknown>
    leaveGroup(options: { readonly groupId: string; readonly memberId: string }): Promise<unknown>
    offsetCommit(options: {
      readonly groupId: string
      readonly groupGenerationId: number
      readonly memberId: string
      readonly topics: readonly OffsetsTopic[]
    }): Promise<unknown>
    /** With no `topics`: everything that the group has committed. */
    offsetFetch(options: {
      readonly groupId: string
      readonly topics: readonly { readonly topic: string; readonly partitions: readonly { partition: number }[] }[]
    }): Promise<{
      readonly responses: readonly {
        readonly topic: string
        readonly partitions: readonly {
          readonly partition: number
          /** `-1`: none. */
          readonly offset: string
          readonly metadata: string | null
          readonly errorCode: number
        }[]
      }[]
    }>
    listGroups(): Promise<{ readonly groups: readonly { readonly groupId: string; readonly protocolType: string }[] }>
    createTopics(options: {
      readonly topics: readonly {
        readonly topic: string
        readonly numPartitions?: number
        readonly replicationFactor?: number
        readonly configEntries?: readonly { readonly name: string; readonly value: string }[]
      }[]
      readonly timeout?: number
    }): Promise<unknown>
    createPartitions(options: {
      readonly topicPartitions: readonly { readonly topic: string; readonly count: number }[]
      readonly timeout?: number
    }): Promise<unknown>
    describeConfigs(options: {
      readonly resources: readonly { readonly type: number; readonly name: string; readonly configNames?: string[] }[]
    }): Promise<{
      readonly resources: readonly {
        readonly resourceName: string
        readonly configEntries: readonly {
          readonly configName: string
          readonly configValue: string | null
          readonly configSource?: number
        }[]
      }[]
    }>
    endTxn(options: {
      readonly transactionalId: string
      readonly producerId: string
      readonly producerEpoch: number
      /** `true` commits. */
      readonly transactionResult: boolean
    }): Promise<unknown>
  }
}

declare module 'kafkajs/src/network/connectionPool.js' {
  import type Encoder from 'kafkajs/src/protocol/encoder.js'

  /** One kind of request in one version, with how its answer is read. */
  export interface ProtocolRequest<T> {
    readonly request: {
      readonly apiKey: number
      readonly apiVersion: number
      readonly apiName: string
      encode(): Promise<Pick<Encoder, 'buf' | 'buffer'>>
    }
    readonly response: {
      decode(payload: Buffer): Promise<object>
      parse(decoded: object): Promise<T>
    }
    readonly requestTimeout?: number
    readonly logResponseError?: boolean
  }

  export interface ConnectionPool {
    readonly host: string
    readonly port: number
    /** Index 0 is for everything but fetches, which use 1. */
    getConnection(index?: number): Promise<object>
    send<T>(request: ProtocolRequest<T>): Promise<T>
  }
}

declare module 'kafkajs/src/loggers/index.js' {
  export interface Logger {
    info(message: string, fields?: object): void
    error(message: string, fields?: object): void
    warn(message: string, fields?: object): void
    debug(message: string, fields?: object): void
    namespace(name: string): Logger
    setLogLevel(level: number): void
  }
}

declare module 'kafkajs/src/network/socketFactory.js' {
  import type { Socket } from 'node:net'

  export default function createSocketFactory(): (options: never) => Socket
}

declare module 'kafkajs/src/network/requestQueue/index.js' {
  export default class RequestQueue {
    pending: unknown[]
    throttledUntil: number
    throttleCheckTimeoutId: NodeJS.Timeout | null
    scheduleCheckPendingRequests(): void
    checkPendingRequests(): void
  }
}

declare module 'kafkajs/src/protocol/requests/metadata/index.js' {
  import type { ProtocolRequest } from 'kafkajs/src/network/connectionPool.js'

  const definition: {
    readonly versions: readonly string[]
    protocol(options: {
      readonly version: number
    }): (options: { topics: readonly string[]; allowAutoTopicCreation: boolean }) => ProtocolRequest<unknown>
  }
  export default definition
}

declare module 'kafkajs/src/protocol/encoder.js' {
  export default class Encoder {
    /** What `buffer` is the written part of. */
    readonly buf: Buffer
    readonly buffer: Buffer
  }
}
