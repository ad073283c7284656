import type { GroupStore } from './group-store.ts'
import type { Growth } from './growth.ts'
import type { PartitionStore } from './partition-store.ts'
import type { StateStore } from './state-store.ts'
import type { Store } from './store.ts'
import type { Topics } from './topics.ts'

/** What the parts of one open log share. */
export interface LogParts {
  readonly store: Store
  readonly topics: Topics
  readonly partitions: PartitionStore
  readonly groups: GroupStore
  readonly state: StateStore
  readonly growth: Growth
  readonly leaseMs: number
  /** Members of this process. */
  readonly members: Set<LocalMember>
  /** Fires when the log closes. */
  readonly closed: AbortSignal
}

export interface LocalMember {
  readonly id: string
  readonly group: string
  /** Whether its lease was renewed within its time. */
  readonly leased: boolean
  /** Looks at the group at once, because another member of this process changed it. */
  poke(): void
  leave(): Promise<void>
}
