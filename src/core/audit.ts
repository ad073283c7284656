import type { Action } from './principal.ts'

/** Something that was asked of the server, by whom, and whether it was let through. Holds no secret and no event. */
export interface AuditEntry {
  /** `authenticate`: a token or certificate was shown. */
  readonly action: Action | 'authenticate'
  /** The topic, channel, collection, query or pipeline. */
  readonly name?: string | undefined
  /** `id` of the principal; null if nobody was recognised. */
  readonly principal: string | null
  /** The other end of the connection. */
  readonly address?: string | undefined
  readonly outcome: 'allowed' | 'refused'
  /** The error's code, of what was refused. */
  readonly code?: string | undefined
}

/** Takes an entry at once and never throws; writing it down is its own affair. */
export type Audit = (entry: AuditEntry) => void
