import type { Runtime } from '../config/runtime.ts'
import { Fatal } from '../core/errors.ts'
import type { Role } from '../core/role.ts'

/** What is embedded where no server is bound. */
export type Embeddable = 'topics' | 'channels' | 'tables' | 'collections'

type Bindings = Pick<Runtime, 'role' | 'kafka' | 'redis' | 'clickhouse' | 'vectors'>

interface Binding {
  /** Of the runtime. */
  readonly setting: string
  readonly servers: string
  isBound(bindings: Bindings): boolean
}

const embeddable: Readonly<Record<Embeddable, Binding>> = {
  topics: { setting: 'kafka', servers: 'Kafka', isBound: ({ kafka }) => kafka !== undefined },
  channels: { setting: 'redis', servers: 'Redis', isBound: ({ redis }) => redis !== undefined },
  tables: { setting: 'clickhouse', servers: 'ClickHouse', isBound: ({ clickhouse }) => clickhouse !== undefined },
  collections: {
    setting: 'vectors',
    servers: 'a vector store',
    isBound: ({ vectors = {} }) =>
      vectors.lancedb === undefined && Object.values(vectors).some((store) => store !== undefined),
  },
}

/**
 * What a role has on servers only. Of its own a gateway would have an empty copy that nobody writes to, and events that are
 * published there would be processed by nobody; channels of a processor could be read by nobody.
 */
const onServersOnly: Readonly<Record<Role, readonly Embeddable[]>> = {
  all: [],
  processor: ['channels'],
  gateway: ['channels', 'topics', 'tables', 'collections'],
  embedder: [],
}

/** What a process with these bindings does without. */
export function missingParts(bindings: Bindings): Embeddable[] {
  return onServersOnly[bindings.role].filter((part) => !embeddable[part].isBound(bindings))
}

/** Throws `Fatal` (`not_bound`) for something embedded that a process of this role does not have. */
export function assertEmbedded(role: Role, part: Embeddable): void {
  if (onServersOnly[role].includes(part)) throw notBound(role, part)
}

/** Throws `Fatal` (`not_bound`) if a process of the role could do nothing at all: a gateway is there for channels. */
export function assertUseful(bindings: Bindings): void {
  if (bindings.role === 'gateway' && missingParts(bindings).includes('channels')) throw notBound('gateway', 'channels')
}

export function notBound(role: Role, part: Embeddable): Fatal {
  const { setting, servers } = embeddable[part]
  return new Fatal({
    code: 'not_bound',
    message: `A process of the role ${role} has no ${part} of its own, and none are bound.`,
    hint: `Bind ${servers} ("${setting}" in millrace.yaml, as in all processes that work together), or use the role all.`,
  })
}
