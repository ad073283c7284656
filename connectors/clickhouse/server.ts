import { ClickHouseLogLevel, createClient } from '@clickhouse/client'
import { compactResult, type Engine, limitSettings, type QueryLimits, readSettings } from './engine.ts'

export interface ServerOptions {
  /** Such as `https://clickhouse.example:8443`. */
  readonly url: string
  readonly username?: string | undefined
  readonly password?: string | undefined
  /** Where the tables are. Default `default`. */
  readonly database?: string | undefined
}

const insertTimeoutMs = 120_000

/** A ClickHouse server or cluster, over HTTP. */
export function openServer(options: ServerOptions, limits: QueryLimits): Engine {
  const database = options.database ?? 'default'
  const access = {
    url: options.url,
    database,
    application: 'millrace',
    // What fails is told by the errors.
    log: { level: ClickHouseLogLevel.OFF },
    ...(options.username === undefined ? {} : { username: options.username }),
    ...(options.password === undefined ? {} : { password: options.password }),
  }
  const client = createClient({ ...access, request_timeout: insertTimeoutMs })
  // The server itself ends a query at its limit, and says so; the client waits a little longer.
  const reader = createClient({ ...access, request_timeout: limits.timeMs + 5_000, use_multipart_params_auto: true })
  const settings = {
    ...readSettings,
    ...limitSettings(limits),
    readonly: '1' as const,
    wait_end_of_query: 1 as const,
    cancel_http_readonly_queries_on_client_close: 1 as const,
  }
  return {
    database,
    tableSettings: {},
    administer: (work) => work(client),
    write: (work) => work(client),
    read: async (sql, params, signal) => {
      const result = await reader.query({
        query: sql,
        format: 'JSONCompact',
        clickhouse_settings: settings,
        query_params: params === undefined ? {} : { ...params },
        ...(signal === undefined ? {} : { abort_signal: signal }),
      })
      return compactResult(await result.json())
    },
    close: async () => {
      await Promise.all([client.close(), reader.close()])
    },
  }
}
