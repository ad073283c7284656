import type { Context, MiddlewareHandler } from 'hono'
import { timingSafeEqual } from 'hono/utils/buffer'
import { InvalidRequest } from './problem.ts'

/** What a request says of where it comes from. */
export interface Caller {
  readonly host: string | undefined
  readonly origin: string | undefined
  readonly token: string | undefined
}

export type Verdict = 'allowed' | 'foreign_host' | 'foreign_origin' | 'unauthenticated'

/**
 * Who is answered. With a token: whoever has it; a browser does not send it by itself, so no page can act for its user.
 * Without one: only programs and pages of this machine. The `Host` header is checked because a page can point its own
 * name at 127.0.0.1, the `Origin` because any page may send requests there.
 */
export async function judge({ host, origin, token }: Caller, expected: string | undefined): Promise<Verdict> {
  if (expected !== undefined) {
    return token !== undefined && (await timingSafeEqual(token, expected)) ? 'allowed' : 'unauthenticated'
  }
  if (host === undefined || !isLoopback(hostName(host))) return 'foreign_host'
  if (origin !== undefined && !isLoopbackOrigin(origin)) return 'foreign_origin'
  return 'allowed'
}

/** Whether a request to a public address may see what is not public. */
export async function mayRead(c: Context, expected: string | undefined): Promise<boolean> {
  return (await judge(caller(c), expected)) === 'allowed'
}

export function isLoopback(name: string): boolean {
  return name === 'localhost' || name === '::1' || name === '[::1]' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(name)
}

export function bearerToken(authorization: string | undefined): string | undefined {
  return /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1]
}

/** Refuses whoever may not call, and lets allowed pages of other origins read the answers. */
export function guard(expected: string | undefined): MiddlewareHandler {
  return async (c, next) => {
    const origin = c.req.header('origin')
    if (c.req.method === 'OPTIONS' && c.req.header('access-control-request-method') !== undefined) {
      // A preflight carries no token; what it asks for will have to.
      const verdict = await judge({ ...caller(c), token: expected }, expected)
      if (verdict !== 'allowed') throw refusal(verdict)
      return c.body(null, 204, crossOrigin(origin, expected))
    }
    const verdict = isPublic(c)
      ? await judge({ ...caller(c), token: expected }, expected)
      : await judge(caller(c), expected)
    if (verdict !== 'allowed') throw refusal(verdict)
    await next()
    for (const [name, value] of Object.entries(crossOrigin(origin, expected))) c.res.headers.set(name, value)
    return undefined
  }
}

export function refusal(verdict: Exclude<Verdict, 'allowed'>): InvalidRequest {
  if (verdict === 'unauthenticated') {
    const message = 'This server needs a token, and the request has none or a wrong one.'
    return new InvalidRequest(401, { code: 'unauthenticated', message, hint: 'Send "Authorization: Bearer <token>".' })
  }
  const what =
    verdict === 'foreign_host' ? 'addressed to another host than this machine' : 'sent by a page of another origin'
  return new InvalidRequest(403, {
    code: verdict,
    message: `The request was ${what}. Without a token only this machine is answered.`,
    hint: 'Set server.token (MILLRACE_SERVER_TOKEN) and send it, or open the page from localhost.',
  })
}

function caller(c: Context): Caller {
  // Browsers cannot set headers on an EventSource, so a stream may carry its token in the address.
  const inAddress = c.req.method === 'GET' ? c.req.query('token') : undefined
  return {
    host: c.req.header('host') ?? new URL(c.req.url).host,
    origin: c.req.header('origin'),
    token: bearerToken(c.req.header('authorization')) ?? inAddress,
  }
}

/** Probes and the dashboard's files: nothing of anyone's data. */
function isPublic(c: Context): boolean {
  const { path } = c.req
  return path === '/livez' || path === '/readyz' || !/^\/(v1|metrics|openapi\.json)(\/|$)/.test(path)
}

function crossOrigin(origin: string | undefined, expected: string | undefined): Record<string, string> {
  if (origin === undefined) return {}
  return {
    'access-control-allow-origin': expected === undefined ? origin : '*',
    'access-control-allow-methods': 'GET, POST, PUT, DELETE',
    'access-control-allow-headers': 'authorization, content-type, last-event-id',
    'access-control-max-age': '600',
    vary: 'origin',
  }
}

/** `127.0.0.1:8080` without its port. */
function hostName(host: string): string {
  return host.startsWith('[') ? host.slice(0, host.indexOf(']') + 1) : (host.split(':')[0] ?? '')
}

function isLoopbackOrigin(origin: string): boolean {
  try {
    return isLoopback(new URL(origin).hostname)
  } catch {
    return false
  }
}
