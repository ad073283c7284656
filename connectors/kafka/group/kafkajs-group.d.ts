/** What this folder needs of kafkajs 2.2.4 beyond `../kafkajs.d.ts`, as it behaves. */

declare module 'kafkajs/src/network/connectionPool.js' {
  interface Connection {
    isConnected(): boolean
    /** Waits for the requests that are under way. */
    disconnect(): Promise<unknown>
    /** Fails all requests that are under way. */
    rejectRequests(error: Error): void
  }

  interface ConnectionPool {
    readonly pool: readonly Connection[]
  }
}

declare module 'kafkajs/src/protocol/requests/joinGroup/index.js' {
  import type { ProtocolRequest } from 'kafkajs/src/network/connectionPool.js'

  /** Throws an error named `KafkaJSMemberIdRequired` with the `memberId` to join again with. */
  const definition: {
    readonly versions: readonly string[]
    protocol(options: { readonly version: number }): (options: {
      readonly groupId: string
      readonly sessionTimeout: number
      readonly rebalanceTimeout: number
      readonly memberId: string
      readonly protocolType: string
      readonly groupProtocols: readonly { readonly name: string; readonly metadata: Buffer }[]
    }) => ProtocolRequest<{
      readonly generationId: number
      readonly leaderId: string
      readonly memberId: string
      /** Empty unless this member is the leader. */
      readonly members: readonly { readonly memberId: string; readonly memberMetadata: Buffer }[]
    }>
  }
  export default definition
}

declare module 'kafkajs/src/protocol/requests/fetch/index.js' {
  import type { FetchTopic } from 'kafkajs/src/broker/index.js'
  import type { ProtocolRequest } from 'kafkajs/src/network/connectionPool.js'

  const definition: {
    readonly versions: readonly string[]
    protocol(options: {
      readonly version: number
    }): (options: {
      readonly isolationLevel: 0 | 1
      readonly maxWaitTime: number
      readonly minBytes: number
      readonly maxBytes: number
      readonly topics: readonly FetchTopic[]
    }) => ProtocolRequest<unknown>
  }
  export default definition
}
