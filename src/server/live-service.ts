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
    publish: (topic, events, key, rows) => {
      const given = events.map((value) => ({ value }))
      return publish(services, topic, given, key, rows)
    },
  })
}

function observe(metrics: Metrics): LiveObserver {
  // Clients choose the names of channels: those that nobody is subscribed to must not stay.
  const subscriptions = new Map<string, number>()
  return {
    session: (transport, change) => metrics.liveSessions.inc({ transport }, change),
    subscription: (channel, change) => {
      const count = (subscriptions.get(channel) ?? 0) + change
      if (count > 0) {
        subscriptions.set(channel, count)
        metrics.liveSubscriptions.set({ channel }, count)
      } else {
        subscriptions.delete(channel)
        metrics.liveSubscriptions.remove({ channel })
      }
    },
    delivered: (channel, events) => metrics.liveDelivered.inc({ channel }, events),
    skipped: (channel, reason, events) => metrics.liveSkipped.inc({ channel, reason }, events),
    closed: (code) => metrics.liveClosed.inc({ code: String(code) }),
  }
}
