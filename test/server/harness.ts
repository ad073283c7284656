import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Hono } from 'hono'
import { openEmbeddedLiveLog, openEmbeddedLog } from '../../connectors/embedded-log/index.ts'
import { type AccessSettings, createAccess } from '../../src/access/index.ts'
import type { Analytics } from '../../src/core/analytics.ts'
import type { Audit } from '../../src/core/audit.ts'
import { InvalidInput } from '../../src/core/errors.ts'
import type { EventLog } from '../../src/core/event-log.ts'
import type { LiveLog } from '../../src/core/live-log.ts'
import type { NamedQuery } from '../../src/core/named-query.ts'
import type { Services } from '../../src/core/services.ts'
import type { VectorStore } from '../../src/core/vector-store.ts'
import { createExpressions } from '../../src/expressions/index.ts'
import type { Live, LiveLimits } from '../../src/live/index.ts'
import { Queries } from '../../src/queries/index.ts'
import { createSerde } from '../../src/serde/index.ts'
import {
  createApp,
  createLive,
  defaultServerLimits,
  folderFiles,
  type Listening,
  type ListenOptions,
  listen,
  type Readiness,
  type ServerContext,
  type ServerLimits,
} from '../../src/server/index.ts'
import { createMetrics, type LogFields, type Metrics } from '../../src/telemetry/index.ts'
import { FakeEmbedder, FakePipelines, FakeVectors } from './fakes.ts'

export interface HarnessOptions {
  readonly token?: string
  /** Instead of `token`. */
  readonly access?: AccessSettings
  readonly origins?: readonly string[]
  readonly audit?: Audit
  readonly tls?: ListenOptions['tls']
  readonly live?: LiveLog
  readonly liveLimits?: Partial<LiveLimits>
  readonly vectors?: FakeVectors
  /** A real one, in place of `vectors`. */
  readonly store?: VectorStore
  readonly queries?: readonly NamedQuery[]
  readonly analytics?: Analytics
  readonly ready?: () => Readiness
  /** File name and text. */
  readonly schemas?: Readonly<Record<string, string>>
  readonly drainMs?: number
  readonly limits?: ServerLimits
}

/** A server on a free port, over real logs and fakes of what is not this part's. */
export interface Harness extends AsyncDisposable {
  readonly address: string
  readonly app: Hono
  readonly log: EventLog
  readonly liveLog: LiveLog
  readonly live: Live
  readonly metrics: Metrics
  readonly embedder: FakeEmbedder
  readonly vectors: FakeVectors
  readonly pipelines: FakePipelines
  readonly errors: { message: string; fields: LogFields | undefined }[]
  readonly folder: string
  /** Stops the server and starts one anew on the same data and port. */
  restart(): Promise<void>
  fetch(path: string, init?: RequestInit): Promise<Response>
}

export async function startServer(options: HarnessOptions = {}): Promise<Harness> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-server-'))
  await mkdir(join(folder, 'schemas'))
  for (const [name, text] of Object.entries(options.schemas ?? {})) {
    await writeFile(join(folder, 'schemas', name), text)
  }
  const log = await openEmbeddedLog(folder)
  const liveLog = options.live ?? (await openEmbeddedLiveLog(folder))
  const embedder = new FakeEmbedder()
  const vectors = options.vectors ?? new FakeVectors()
  const pipelines = new FakePipelines()
  const expressions = createExpressions({ bounded: true })
  const metrics = createMetrics()
  const errors: Harness['errors'] = []
  const note = (message: string, fields?: LogFields) => {
    errors.push({ message, fields })
  }
  const services: Services = {
    serde: createSerde({ folder: join(folder, 'schemas') }),
    log: async () => log,
    analytics: async () => options.analytics ?? analytics,
    vectors: async () => options.store ?? vectors,
    live: async () => liveLog,
    embedder: async () => embedder,
  }
  const start = async (port: number) => {
    const access = await createAccess(options.access ?? { token: options.token })
    const door = { access, origins: options.origins, audit: options.audit }
    const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: note }
    const queries = new Queries(options.queries ?? [], services.analytics)
    const live = createLive({
      services,
      expressions,
      queries,
      ...door,
      metrics,
      log: quiet,
      limits: options.liveLimits,
    })
    const context: ServerContext = {
      services,
      pipelines,
      expressions,
      queries,
      live,
      closing: live.closing,
      ...door,
      metrics,
      log: quiet,
      ready: options.ready ?? (() => ({ ready: true, reasons: [] })),
      version: '0.1.0',
      limits: options.limits ?? defaultServerLimits,
      dashboard: folderFiles(join(folder, 'dashboard')),
    }
    const app = createApp(context)
    const listening = await listen(app, context, {
      host: '127.0.0.1',
      port,
      tls: options.tls,
      drainMs: options.drainMs ?? 1_000,
    })
    return { live, app, listening }
  }
  let current: { live: Live; app: Hono; listening: Listening } = await start(0)
  return {
    get address() {
      return current.listening.address
    },
    get app() {
      return current.app
    },
    get live() {
      return current.live
    },
    log,
    liveLog,
    metrics,
    embedder,
    vectors,
    pipelines,
    errors,
    folder,
    async restart() {
      const port = Number(new URL(current.listening.address).port)
      await current.listening.close()
      current = await start(port)
    },
    fetch: (path, init) => fetch(`${current.listening.address}${path}`, init),
    async [Symbol.asyncDispose]() {
      await current.listening.close()
      metrics.close()
      await liveLog.close()
      await log.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Answers one query, and refuses another as ClickHouse would. */
const analytics: Analytics = {
  ensureTable: async () => undefined,
  insert: async () => undefined,
  query: async (sql) => {
    if (sql.includes('nope')) throw new InvalidInput({ code: 'bad_query', message: 'Unknown table nope' })
    return { columns: [{ name: 'one', type: 'UInt8' }], rows: [{ one: 1 }] }
  },
  async *changes() {},
  tables: async () => [{ name: 'tickets', rows: 3, bytes: 99 }],
  close: async () => undefined,
}

export function json(value: unknown, method = 'POST'): RequestInit {
  return { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) }
}
