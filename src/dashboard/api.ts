import type { Client, JsonValue } from '../client/index.ts'

/** What the server's HTTP API answers, as `/openapi.json` describes it. */
export interface Pipeline {
  readonly name: string
  readonly state: PipelineState
  readonly reason?: string
  readonly source: readonly string[]
  readonly sinks: readonly string[]
  readonly lanes: readonly Lane[]
  readonly lag: number
  readonly totals: {
    readonly read: number
    readonly written: number
    readonly dropped: number
    readonly deadLettered: number
  }
  readonly rate: number
  /** Milliseconds. */
  readonly latency?: { readonly p50: number; readonly p99: number }
}

export type PipelineState = 'starting' | 'running' | 'degraded' | 'paused' | 'failed' | 'finished'

export interface Lane {
  readonly topic: string
  readonly partition: number
  readonly committed: number
  readonly end: number
  readonly lag: number
}

/** In full, with the pipeline file. The stream of changes leaves the file out. */
export interface PipelineFile extends Pipeline {
  readonly text: string
}

export interface Topic {
  readonly name: string
  readonly records: number
  readonly schema?: JsonValue
}

export interface StoredEvent {
  readonly partition: number
  readonly offset: number
  readonly timestamp: number
  readonly key: string | null
  readonly value: JsonValue
  readonly headers: Readonly<Record<string, string>>
  readonly error?: string
}

export interface Channel {
  readonly name: string
  /** How many are kept. */
  readonly events: number
  /** Events per second. */
  readonly rate: number
  /** Left out for a caller who sees rows of its own only. */
  readonly subscriptions?: number
  readonly members: number
}

export interface NamedQuery {
  readonly name: string
  readonly description?: string
  readonly params: readonly {
    readonly name: string
    /** Of ClickHouse. */
    readonly type: string
    readonly required: boolean
    readonly default?: JsonValue
    readonly description?: string
  }[]
}

export interface Collection {
  readonly name: string
  readonly count: number
}

export interface Table {
  readonly name: string
  readonly rows: number
}

/** The answer to a GET. Throws `MillraceClientError`. */
export async function get<Answer>(client: Client, path: string, signal?: AbortSignal): Promise<Answer> {
  const response = await client.request(path, signal ? { signal } : {})
  // The server is trusted to answer as it describes.
  return JSON.parse(await response.text())
}

/** The newest events of a topic, newest first. */
export async function newestEvents(
  client: Client,
  topic: string,
  limit: number,
  signal?: AbortSignal,
): Promise<readonly StoredEvent[]> {
  const path = `/v1/topics/${encodeURIComponent(topic)}/events?limit=${limit}`
  const { events } = await get<{ events: StoredEvent[] }>(client, path, signal)
  return events.reverse()
}
