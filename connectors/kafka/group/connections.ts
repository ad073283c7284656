import type Broker from 'kafkajs/src/broker/index.js'
import type { Cluster } from '../cluster.ts'

/** Closes the connections to a broker at once: what is under way fails, and the next request connects anew. */
export function dropConnections({ connectionPool }: Broker): void {
  const error = Object.assign(new Error('the connection was given up'), { name: 'KafkaJSConnectionClosedError' })
  for (const connection of connectionPool.pool) {
    if (!connection.isConnected()) continue
    connection.rejectRequests(error)
    // What it throws is that the connection is gone already.
    connection.disconnect().catch(() => undefined)
  }
}

/** Like `cluster.disconnect()`, but waits for no answer that is still to come. */
export async function closeCluster(cluster: Cluster): Promise<void> {
  for (const nodeId of cluster.getNodeIds()) {
    const broker = cluster.brokerPool.brokers[nodeId]
    if (broker) dropConnections(broker)
  }
  await cluster.disconnect().catch(() => undefined)
}

/** The broker that coordinates a group, looked up once and again when it has moved. */
export class Coordinator {
  readonly #cluster: Cluster
  readonly #groupId: string
  #broker: Promise<Broker> | undefined

  constructor(cluster: Cluster, groupId: string) {
    this.#cluster = cluster
    this.#groupId = groupId
  }

  broker(): Promise<Broker> {
    if (this.#broker !== undefined) return this.#broker
    const found = this.#cluster.findGroupCoordinator({ groupId: this.#groupId })
    this.#broker = found
    found.catch(() => this.forget(found))
    return found
  }

  /** The next request looks it up again. */
  forget(found = this.#broker): void {
    if (this.#broker === found) this.#broker = undefined
  }

  /** As `forget`, and what waits for an answer fails. */
  async drop(): Promise<void> {
    const broker = await this.#broker?.catch(() => undefined)
    this.forget()
    if (broker) dropConnections(broker)
  }
}
