import type { Context, MiddlewareHandler } from 'hono'
import type { AuditEntry } from '../core/audit.ts'
import { Forbidden, Retryable, Unauthenticated } from '../core/errors.ts'
import type { Principal } from '../core/principal.ts'
import type { BaseContext } from './context.ts'
import { assertPlace } from './origins.ts'
import type { Visit } from './permission.ts'
import { type Visitor, visitorOf } from './visitor.ts'

/** What the door needs to know. */
export type Door = Pick<BaseContext, 'access' | 'origins' | 'audit'>

/** Refuses requests of places that may not ask. Pages of other origins that may are also let read the answers. */
export function originGuard(door: Door): MiddlewareHandler {
  return async (c, next) => {
    const visitor = visitorOf(c)
    assertPlace(visitor, placesOf(door))
    // A preflight carries no token; what it asks for will have to.
    if (isPreflight(c)) return c.body(null, 204, crossOrigin(visitor.origin))
    await next()
    for (const [name, value] of Object.entries(crossOrigin(visitor.origin))) c.res.headers.set(name, value)
    return undefined
  }
}

/** Lets in whoever shows who they are, and says who that is: `principalOf`. What they may do is asked by the routes. */
export function guard(door: Door): MiddlewareHandler {
  return async (c, next) => {
    const visitor = visitorOf(c)
    const principal = isPublic(c) ? await recogniseIfShown(visitor, door) : await recognise(visitor, door)
    const visit = visitOf(visitor, principal, door)
    c.set('visit', visit)
    await next()
    noteRefusal(c, visit)
  }
}

/**
 * Whose request for a WebSocket it is; undefined if it has to show a token with its first message. Throws as `assertPlace`
 * and `Access.authenticate` do.
 */
export async function admit(visitor: Visitor, door: Door): Promise<Principal | undefined> {
  assertPlace(visitor, placesOf(door))
  try {
    const principal = await recognise(visitor, { ...door, audit: undefined })
    visitOf(visitor, principal, door).note({ action: 'authenticate', outcome: 'allowed' })
    return principal
  } catch (error) {
    // Browsers cannot send a header with the request, and an address is no good place for a token.
    if (error instanceof Unauthenticated && error.code === 'unauthenticated') return undefined
    noteStranger(error, visitor, door)
    throw error
  }
}

/** Throws as `Access.authenticate` does, and `Unauthenticated` (`certificate_untrusted`). */
async function recognise(visitor: Visitor, door: Door): Promise<Principal> {
  const { token, certificate } = visitor
  try {
    if (token !== undefined || certificate !== 'untrusted') {
      return await door.access.authenticate({
        token,
        certificate: certificate === 'untrusted' ? undefined : certificate,
      })
    }
    throw new Unauthenticated({
      code: 'certificate_untrusted',
      message: 'The client certificate is not signed by an authority that is trusted here, or is not valid now.',
      hint: 'server.tls.ca has the authorities.',
    })
  } catch (error) {
    noteStranger(error, visitor, door)
    throw error
  }
}

/** Probes and the files of the dashboard are for everyone; who shows a token may be told more. */
async function recogniseIfShown(visitor: Visitor, door: Door): Promise<Principal | undefined> {
  try {
    return await door.access.authenticate({
      token: visitor.token,
      certificate: visitor.certificate === 'untrusted' ? undefined : visitor.certificate,
    })
  } catch (error) {
    if (error instanceof Unauthenticated || error instanceof Retryable) return undefined
    throw error
  }
}

function visitOf({ address }: Visitor, principal: Principal | undefined, { audit }: Door): Visit {
  const note = (entry: Pick<AuditEntry, 'action' | 'name' | 'outcome' | 'code'>) =>
    audit?.({ ...entry, principal: principal?.id ?? null, address })
  return { principal, address, note }
}

function noteStranger(error: unknown, visitor: Visitor, door: Door): void {
  if (!(error instanceof Unauthenticated)) return
  visitOf(visitor, undefined, door).note({ action: 'authenticate', outcome: 'refused', code: error.code })
}

function noteRefusal({ error, get }: Context, { note }: Visit): void {
  const demanded = get('demand')
  if (error instanceof Forbidden && demanded) note({ ...demanded, outcome: 'refused', code: error.code })
}

function placesOf({ access, origins = [] }: Door) {
  return { required: access.required, origins }
}

function isPreflight(c: Context): boolean {
  return c.req.method === 'OPTIONS' && c.req.header('access-control-request-method') !== undefined
}

/** Probes and the dashboard's files: nothing of anyone's data. */
function isPublic(c: Context): boolean {
  const { path } = c.req
  return path === '/livez' || path === '/readyz' || !/^\/(v1|metrics|openapi\.json)(\/|$)/.test(path)
}

function crossOrigin(origin: string | undefined): Record<string, string> {
  if (origin === undefined) return {}
  return {
    'access-control-allow-origin': origin,
    'access-control-allow-methods': 'GET, POST, PUT, DELETE',
    'access-control-allow-headers': 'authorization, content-type, last-event-id',
    'access-control-expose-headers': 'retry-after, www-authenticate',
    'access-control-max-age': '600',
    vary: 'origin',
  }
}
