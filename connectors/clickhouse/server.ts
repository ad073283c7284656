import { readFile } from 'node:fs/promises'
import { Agent } from 'node:https'
import { type ClickHouseClientConfigOptions, ClickHouseLogLevel, createClient } from '@clickhouse/client'
import { errorMessage, Fatal } from '../../src/core/errors.ts'
import { type Engine, limitSettings, parsedResult, type QueryLimits, readSettings } from './engine.ts'
import { FilterProbe, filterSetting } from './filter-probe.ts'
import { Slots } from './slots.ts'

export interface ServerOptions {
  /** Such as `https://clickhouse.example:8443`. */
  readonly url: string
  readonly username?: string | undefined
  readonly password?: string | undefined
  /** Where the tables are. Default `default`. */
  readonly database?: string | undefined
  /** The cluster as the servers name it: tables are made on all of it, and replicated. */
  readonly cluster?: string | undefined
  /** PEM files: the authorities that are trusted, and what this process shows of itself. */
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
}

/** Inserts, and likewise queries, that run side by side; what comes on top waits. */
const mostAtOnce = 8
const longestQueue = 1_024
/** No answer for so long means that none will come. A repeated insert has the same token, so nothing is doubled. */
const insertTimeoutMs = 60_000
/** How long a definition waits for all servers of a cluster. One that is down makes up for it when it is back. */
const clusterSeconds = 30

/**
 * A ClickHouse server or cluster, over HTTP. Throws `Fatal` if a PEM file cannot be read. Nothing is asked of the server
 * yet, so it may be down.
 */
export async function openServer(options: ServerOptions, limits: QueryLimits): Promise<Engine> {
  const { cluster, database = 'default' } = options
  const secure = await tlsOptions(options)
  const url = new URL(options.url)
  const { origin, hostname, protocol } = url
  const username = decodeURIComponent(url.username) || (options.username ?? 'default')
  const password = decodeURIComponent(url.password) || (options.password ?? '')
  url.username = ''
  url.password = ''
  // A certificate stands for a password where there is none.
  const byCertificate = secure.cert !== undefined && password === ''
  const access = {
    url,
    username,
    password,
    database,
    application: 'millrace',
    // What fails is told by the errors.
    log: { level: ClickHouseLogLevel.OFF },
    max_open_connections: mostAtOnce,
    // A socket that the server has closed while this process was busy is not taken for an open one.
    keep_alive: { enabled: true, eagerly_destroy_stale_sockets: true },
    ...(byCertificate
      ? {
          set_basic_auth_header: false,
          http_headers: { 'X-ClickHouse-User': username, 'X-ClickHouse-SSL-Certificate-Auth': 'on' },
        }
      : {}),
  }
  // Each client has connections of its own, so that slow queries leave some to the inserts.
  const connect = (more: ClickHouseClientConfigOptions) => {
    const agent = protocol === 'https:' ? new Agent({ ...secure, keepAlive: true, maxSockets: mostAtOnce }) : undefined
    return createClient({ ...access, ...more, ...(agent === undefined ? {} : { http_agent: agent }) })
  }
  const compression = { request: isLoopback(hostname) ? (false as const) : ({ codec: 'gzip', level: 1 } as const) }
  // An error comes in place of the answer, not in the midst of it.
  const whole = { wait_end_of_query: 1 } as const
  const writer = connect({ request_timeout: insertTimeoutMs, compression, clickhouse_settings: whole })
  const administrator = connect({
    request_timeout: 2 * clusterSeconds * 1000,
    clickhouse_settings:
      cluster === undefined
        ? whole
        : {
            ...whole,
            distributed_ddl_task_timeout: String(clusterSeconds),
            distributed_ddl_output_mode: 'null_status_on_timeout',
          },
  })
  // The server itself ends a query at its limit, and says so; the client waits a little longer.
  const reader = connect({ request_timeout: limits.timeMs + 5_000, use_multipart_params_auto: true })
  const settings = {
    ...readSettings,
    ...limitSettings(limits),
    readonly: '1' as const,
    wait_end_of_query: 1 as const,
    cancel_http_readonly_queries_on_client_close: 1 as const,
  }
  const probe = new FilterProbe(`ClickHouse at ${origin}`, cluster)
  const definitions = new Slots(Array(mostAtOnce).fill(administrator), longestQueue)
  const writes = new Slots(Array(mostAtOnce).fill(writer), longestQueue)
  const reads = new Slots(Array(mostAtOnce).fill(reader), longestQueue)
  return {
    name: `ClickHouse at ${origin}`,
    database,
    cluster,
    shared: true,
    tableSettings: {},
    administer: (work) => definitions.use(work),
    write: (work) => writes.use(work),
    read: (sql, params, signal, filters) =>
      reads.use(async (client) => {
        // A cache of results could have those of someone else.
        const filtering: Record<string, string> =
          filters === undefined ? {} : { [filterSetting]: filters, use_query_cache: '0' }
        if (filters !== undefined) await probe.arrives(client, settings)
        const result = await client.query({
          query: sql,
          format: 'JSONCompact',
          clickhouse_settings: { ...settings, ...filtering },
          query_params: params === undefined ? {} : { ...params },
          ...(signal === undefined ? {} : { abort_signal: signal }),
        })
        return parsedResult(await result.text())
      }, signal),
    close: async () => {
      await Promise.all([administrator, writer, reader].map((client) => client.close()))
    },
  }
}

/** Within one machine compressing costs more than it saves. */
function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || hostname.startsWith('127.')
}

async function tlsOptions({ ca, cert, key }: ServerOptions) {
  if ((cert === undefined) !== (key === undefined)) {
    throw new Fatal({
      code: 'clickhouse_tls',
      message: 'clickhouse.cert and clickhouse.key go together: the certificate of this process and its key',
    })
  }
  return {
    ...(ca === undefined ? {} : { ca: await pemFile('ca', ca) }),
    ...(cert === undefined ? {} : { cert: await pemFile('cert', cert) }),
    ...(key === undefined ? {} : { key: await pemFile('key', key) }),
  }
}

async function pemFile(setting: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (error) {
    throw new Fatal({
      code: 'clickhouse_tls',
      message: `clickhouse.${setting}: the PEM file ${path} cannot be read: ${errorMessage(error)}`,
      cause: error,
    })
  }
}
