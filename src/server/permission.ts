import type { Context } from 'hono'
import type { AuditEntry } from '../core/audit.ts'
import { Forbidden, Unauthenticated } from '../core/errors.ts'
import { type Action, notAllowed, type Principal, type RowFilter } from '../core/principal.ts'

/** A request that was let in. */
export interface Visit {
  /** Undefined where anyone may ask and nobody was recognised. */
  readonly principal: Principal | undefined
  readonly address: string | undefined
  /** Writes to the audit trail. */
  readonly note: (entry: Pick<AuditEntry, 'action' | 'name' | 'outcome' | 'code'>) => void
}

/** What was last demanded of a request. */
interface Demand {
  readonly action: Action
  readonly name: string
}

declare module 'hono' {
  interface ContextVariableMap {
    visit: Visit
    demand: Demand | undefined
    /** What the caller sees of the name that the route asks for; undefined for everything. */
    rows: RowFilter | undefined
  }
}

/** Who asks. Throws `Unauthenticated` if anyone may, and nobody was recognised. */
export function principalOf(c: Context): Principal {
  const { principal } = c.get('visit')
  if (principal) return principal
  throw new Unauthenticated({ code: 'unauthenticated', message: 'The request does not say who asks.' })
}

/**
 * Notes that the caller does something, and answers what it sees of it: undefined for everything. Throws `Forbidden`
 * (`forbidden`), which names the action and what it was asked for.
 */
export function demand(c: Context, action: Action, name: string): RowFilter | undefined {
  const principal = principalOf(c)
  c.set('demand', { action, name })
  if (!principal.may(action, name)) throw notAllowed(principal, action, name)
  c.get('visit').note({ action, name, outcome: 'allowed' })
  return principal.rows(action, name)
}

/**
 * For what cannot be told by rows, after its `demand`: throws `Forbidden` for a caller who sees only some. `hint` says what
 * to do instead.
 */
export function assertAllRows(c: Context, hint: string): void {
  if (c.get('rows') === undefined) return
  const { action, name } = c.get('demand') ?? { action: 'query', name: '' }
  const message = `"${principalOf(c).id}" may ${action} "${name}" only in rows of its own, and it has no rows.`
  throw new Forbidden({ code: 'forbidden', message, hint })
}

/** Timers hold no longer delay. */
const longestTimer = 2 ** 31 - 1

/** For streams: fires when the server closes, and when the caller's token or certificate has expired. */
export function untilExpired(c: Context, closing: AbortSignal): AbortSignal {
  const { expires } = principalOf(c)
  if (expires === null) return closing
  const left = Math.min(longestTimer, Math.max(0, expires - Date.now()))
  return AbortSignal.any([closing, AbortSignal.timeout(left)])
}

/** Each of them is reason enough to know of a topic. */
export const topicActions: readonly Action[] = ['publish', 'subscribe', 'manage']

/** Whether the caller may do one of the actions with a name: for lists, which show nothing else. */
export function mayAny(c: Context, actions: readonly Action[], name: string): boolean {
  const principal = principalOf(c)
  return actions.some((action) => principal.may(action, name))
}
