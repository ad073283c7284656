import type { Access } from '../access/index.ts'
import type { Audit } from '../core/audit.ts'
import type { Expressions } from '../core/expression.ts'
import type { Services } from '../core/services.ts'
import { Live, type LiveLimits, type LiveObserver } from '../live/index.ts'
import type { Queries } from '../queries/index.ts'
import type { Log, Metrics } from '../telemetry/index.ts'
import { publish } from './publish.ts'

export interface LiveServiceOptions {
  readonly services: Services
  readonly expressions: Expressions
  readonly queries: Queries
  readonly access: Access
  readonly audit?: Audit | undefined
  readonly metrics: Metrics
  readonly log: Log
  readonly limits?: Partial<LiveLimits> | undefined
}

/** The live sessions of a process, on its services. */
export function createLive({
  services,
  expressions,
  queries,
  access,
  audit,
  metrics,
  log,
  limits,
}: LiveServiceOptions): Live {
  return new Live({
    log: () => services.live(),
    embedder: () => services.embedder(),
    presence: services.presence,
    expressions,
    queries,
    logger: log,
    observer: observe(metrics),
    limits,
    authenticate: (token) => access.authenticate({ token }),
    audit,
    publish: (topic, events, key, principal) => {
      const given = events.map((value) => ({ value }))
      return publish(services, topic, given, key, principal)
    },
  })
}

function observe(metrics: Metrics): LiveObserver {
  return {
    session: (transport, change) => metrics.liveSessions.inc({ transport }, change),
    subscription: countByChannel(metrics.liveSubscriptions),
    member: countByChannel(metrics.liveMembers),
    delivered: countInTurns((channel, events) => metrics.liveDelivered.inc({ channel }, events)),
    skipped: (channel, reason, events) => metrics.liveSkipped.inc({ channel, reason }, events),
    closed: (code) => metrics.liveClosed.inc({ code: String(code) }),
  }
}

/** Clients choose the names of channels: those of which there is nothing any more must not stay. */
function countByChannel(gauge: Metrics['liveMembers']): (channel: string, change: 1 | -1) => void {
  const counts = new Map<string, number>()
  return (channel, change) => {
    const count = (counts.get(channel) ?? 0) + change
    if (count > 0) {
      counts.set(channel, count)
      gauge.set({ channel }, count)
    } else {
      counts.delete(channel)
      gauge.remove({ channel })
    }
  }
}

/** Sums up what is counted in one turn: a metric with labels takes too long for each of thousands of clients. */
function countInTurns(count: (name: string, amount: number) => void): (name: string, amount: number) => void {
  const amounts = new Map<string, number>()
  const flush = () => {
    for (const [name, amount] of amounts) count(name, amount)
    amounts.clear()
  }
  return (name, amount) => {
    if (amounts.size === 0) setImmediate(flush)
    amounts.set(name, (amounts.get(name) ?? 0) + amount)
  }
}
