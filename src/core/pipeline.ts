import type { Start } from './event-log.ts'

/** One component as a pipeline file names it, its options checked. */
export interface ComponentUse {
  readonly name: string
  /** Unique within the pipeline: the name, with `.2`, `.3`, … when it occurs again. */
  readonly component: string
  readonly options: unknown
}

/** A pipeline file, checked. */
export interface PipelineSpec {
  readonly name: string
  readonly source:
    | { readonly kind: 'topics'; readonly topics: readonly string[]; readonly start: Start; readonly group: string }
    | { readonly kind: 'intake'; readonly use: ComponentUse }
  /** An expression for the event's id; the position when left out. */
  readonly id?: string | undefined
  readonly processors: readonly ComponentUse[]
  readonly sinks: readonly ComponentUse[]
  readonly block: BlockLimits
  readonly tests: readonly PipelineTest[]
  /** The file's text, and where it came from, for tools and messages. */
  readonly text: string
  readonly file: string
}

/** When a block closes, whichever comes first. */
export interface BlockLimits {
  readonly events: number
  readonly bytes: number
  readonly ageMs: number
}

export interface GivenEvent {
  readonly key?: string | null
  readonly value: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly timestamp?: number
}

/** `expect` maps an output (`live.tickets`, `clickhouse.tickets`, `topic.x`, `vectors.y`, `dlq`) to what it shall hold. */
export interface PipelineTest {
  readonly name: string
  readonly given: readonly GivenEvent[]
  readonly expect: Readonly<Record<string, readonly unknown[]>>
}

export const pipelineStates = ['starting', 'running', 'degraded', 'paused', 'failed', 'finished'] as const
export type PipelineState = (typeof pipelineStates)[number]

export interface PipelineStatus {
  readonly name: string
  readonly state: PipelineState
  /** Why it is degraded or failed. */
  readonly reason?: string | undefined
  readonly source: readonly string[]
  readonly sinks: readonly string[]
  readonly lanes: readonly {
    readonly topic: string
    readonly partition: number
    readonly committed: number
    readonly end: number
    readonly lag: number
  }[]
  readonly lag: number
  /** Since the start of the process. */
  readonly totals: {
    readonly read: number
    readonly written: number
    readonly dropped: number
    readonly deadLettered: number
  }
  /** Events read per second, over the last few seconds. */
  readonly rate: number
  /** Milliseconds from an event's timestamp to its acceptance by the live sink (or the last event sink), last minute. */
  readonly latency: { readonly p50: number; readonly p99: number } | undefined
  readonly text: string
}

/** Running pipelines, for the API and the commands. Unknown names throw `NotFound` (`pipeline_not_found`). */
export interface PipelineControl {
  list(): Promise<PipelineStatus[]>
  get(name: string): Promise<PipelineStatus>
  /** Checks and starts a pipeline given as YAML, replacing the one of that name. Throws `InvalidInput` with every problem. */
  put(name: string, yaml: string): Promise<PipelineStatus>
  remove(name: string): Promise<void>
  pause(name: string): Promise<PipelineStatus>
  resume(name: string): Promise<PipelineStatus>
}
