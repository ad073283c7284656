import type { Hono } from 'hono'
import { type Lock, lockData } from '../../connectors/embedded-log/lock.ts'
import { type Access, createAccess } from '../access/index.ts'
import { type Runtime, topicConfig } from '../config/runtime.ts'
import type { Audit } from '../core/audit.ts'
import { createAuditTrail, type Listening, listen } from '../server/index.ts'
import { createMetrics, type Log, type Metrics } from '../telemetry/index.ts'
import { auditTopic } from './audit-topic.ts'
import { makeFolder } from './folder.ts'
import { type OpenServices, openServices, type ServiceOptions } from './services.ts'

/** What a process has, whatever its role: its data folder, its door, its metrics, its services and a server. */
export interface ServerProcess {
  readonly access: Access
  readonly audit: Audit | undefined
  readonly metrics: Metrics
  readonly services: OpenServices
  /** Serves, and answers the address. */
  serve(app: Hono, context: Parameters<typeof listen>[1]): Promise<string>
  /** The server first, then what it needs. */
  close(): Promise<void>
}

export interface ProcessOptions extends Omit<ServiceOptions, 'metrics'> {
  readonly log: Log
}

/** Throws what `lockData` throws if another process has the data folder, what `createAccess` and `auditTopic` throw. */
export async function openProcess(runtime: Runtime, options: ProcessOptions): Promise<ServerProcess> {
  const { log } = options
  const access = await createAccess(runtime.server, { warn: log.warn })
  const topic = auditTopic(runtime, access.required)
  const lock = await takeFolder(runtime)
  const metrics = createMetrics()
  const services = openServices(runtime, { ...options, metrics })
  const trail =
    topic === undefined
      ? undefined
      : createAuditTrail({ log: services.log, topic, config: topicConfig(runtime, topic), logger: log })
  let server: Listening | undefined
  return {
    access,
    audit: trail?.audit,
    metrics,
    services,
    serve: async (app, context) => {
      const { host, port, tls } = runtime.server
      server = await listen(app, context, { host, port, tls })
      await lock?.update({ address: server.address })
      return server.address
    },
    close: async () => {
      services.stopDownloads()
      await server?.close()
      await trail?.close()
      metrics.close()
      await services.close()
      await lock?.release()
    },
  }
}

/** A gateway keeps nothing but the model that it may have to download, so that any number can share a folder with others. */
async function takeFolder({ role, data }: Pick<Runtime, 'role' | 'data'>): Promise<Lock | undefined> {
  if (role === 'gateway') return undefined
  await makeFolder(data)
  return lockData(data)
}
