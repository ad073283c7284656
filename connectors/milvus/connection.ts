import type { MilvusClient } from '@zilliz/milvus2-sdk-node'
import { milvusFailure, statusOf, succeeded } from './failure.ts'
import { loadSdk, type Sdk } from './sdk.ts'

export interface MilvusSettings {
  /** `host:port`, or an address of Zilliz Cloud. */
  readonly address: string
  readonly token?: string | undefined
  readonly database?: string | undefined
  readonly username?: string | undefined
  readonly password?: string | undefined
  readonly ssl?: boolean | undefined
}

/** A call that Milvus does not answer within this time has failed. */
const callTimeoutMs = 60_000
const connectTimeoutMs = 10_000

/** The connection to one server. It is made when it is first used, and made again after it was lost. */
export class Connection {
  readonly where: string
  readonly #settings: MilvusSettings
  #sdk: Sdk | undefined
  #client: MilvusClient | undefined

  constructor(settings: MilvusSettings) {
    this.#settings = settings
    this.where = settings.address
  }

  get sdk(): Sdk {
    this.#sdk ??= loadSdk()
    return this.#sdk
  }

  /** Makes a call and checks its answer. Throws one of our errors. `doing` completes "Milvus failed …". */
  async call<T>(doing: string, work: (client: MilvusClient) => Promise<T>): Promise<T> {
    try {
      const client = this.#connect()
      // Otherwise the calls of a client that could not connect would fail each with a reason of its own.
      await client.connectPromise
      const answer = await work(client)
      const status = statusOf(answer)
      if (status !== undefined && !succeeded(status)) throw status
      return answer
    } catch (error) {
      throw milvusFailure(this.where, doing, error)
    }
  }

  async close(): Promise<void> {
    const client = this.#client
    this.#client = undefined
    await client?.closeConnection()
  }

  #connect(): MilvusClient {
    if (this.#client !== undefined) return this.#client
    const { address, token, database, username, password, ssl = false } = this.#settings
    const client = new this.sdk.MilvusClient({
      address,
      ssl,
      ...(token === undefined ? {} : { token }),
      ...(database === undefined ? {} : { database }),
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      timeout: callTimeoutMs,
      // Who calls decides what is tried again.
      maxRetries: 0,
      logLevel: 'error',
      telemetry: { enabled: false },
      pool: { acquireTimeoutMillis: connectTimeoutMs },
      channelOptions: {
        'grpc.initial_reconnect_backoff_ms': 100,
        'grpc.max_reconnect_backoff_ms': 5_000,
        // Servers end a connection that is asked too often whether it still is one.
        'grpc.keepalive_time_ms': 60_000,
        'grpc.keepalive_permit_without_calls': 0,
      },
    })
    this.#client = client
    client.connectPromise.catch(() => {
      // A client whose first connection failed stays without one.
      if (this.#client === client) this.#client = undefined
      client.closeConnection().catch(() => undefined)
    })
    return client
  }
}
