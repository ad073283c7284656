import type { Access } from '../access/index.ts'
import type { Audit } from '../core/audit.ts'
import type { Expressions } from '../core/expression.ts'
import type { PipelineControl } from '../core/pipeline.ts'
import type { Services } from '../core/services.ts'
import type { Live } from '../live/index.ts'
import type { Queries } from '../queries/index.ts'
import type { Log, Metrics } from '../telemetry/index.ts'
import type { StaticFiles } from './static.ts'

export interface Readiness {
  readonly ready: boolean
  /** What is still missing, in words. */
  readonly reasons: readonly string[]
}

export interface ServerLimits {
  /** Of a request's body. */
  readonly bodyBytes: number
  /** Of all bodies that are being worked on at the same time. */
  readonly inFlightBytes: number
}

export const defaultServerLimits: ServerLimits = { bodyBytes: 10_000_000, inFlightBytes: 100_000_000 }

/** What every server has, whatever the role of its process. Made by the composition root. */
export interface BaseContext {
  /** Who is let in, and what they may do. */
  readonly access: Access
  /** Origins of pages that may ask, besides the server's own and those of this machine; `*` for all. Default: none. */
  readonly origins?: readonly string[] | undefined
  /** Told what was asked, by whom, and whether it was let through. */
  readonly audit?: Audit | undefined
  readonly metrics: Metrics
  /** Brings the metrics up to date before a scrape. */
  readonly observe?: (() => Promise<void>) | undefined
  readonly log: Log
  readonly ready: () => Readiness
  readonly version: string
  readonly limits: ServerLimits
}

/** For the role `embedder`. */
export interface EmbedderContext extends BaseContext {
  readonly services: Pick<Services, 'embedder'>
}

/** For the role `processor`. */
export interface PipelineContext extends BaseContext {
  readonly pipelines: PipelineControl
  /** Fires when the server begins to close: streams end with it. */
  readonly closing: AbortSignal
}

/** For the role `gateway`. */
export interface GatewayContext extends BaseContext {
  readonly services: Services
  readonly expressions: Expressions
  readonly queries: Queries
  readonly live: Live
  /** The built dashboard; without it `/` says how to build one. */
  readonly dashboard?: StaticFiles | undefined
}

/** For the whole API. */
export interface ServerContext extends PipelineContext, GatewayContext {}
