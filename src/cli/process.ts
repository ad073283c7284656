import type { Hono } from 'hono'
import { type Lock, lockData } from '../../connectors/embedded-log/lock.ts'
import { type Access, createAccess } from '../access/index.ts'
import type { Runtime } from '../config/runtime.ts'
import { type Listening, listen } from '../server/index.ts'
import { createMetrics, type Metrics } from '../telemetry/index.ts'
import { makeFolder } from './folder.ts'
import { type OpenServices, openServices, type ServiceOptions } from './services.ts'

/** What a process has, whatever its role: its data folder, its door, its metrics, its services and a server. */
export interface ServerProcess {
  readonly access: Access
  readonly metrics: Metrics
  readonly services: OpenServices
  /** Serves, and answers the address. */
  serve(app: Hono, context: Parameters<typeof listen>[1]): Promise<string>
  /** The server first, then what it needs. */
  close(): Promise<void>
}

/** Throws what `lockData` throws if another process has the data folder, and what `createAccess` throws. */
export async function openProcess(runtime: Runtime, options: Omit<ServiceOptions, 'metrics'>): Promise<ServerProcess> {
  const { log } = options
  const access = await createAccess(runtime.server, { warn: (message, fields) => log?.warn(message, fields) })
  const lock = await takeFolder(runtime)
  const metrics = createMetrics()
  const services = openServices(runtime, { ...options, metrics })
  let server: Listening | undefined
  return {
    access,
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
