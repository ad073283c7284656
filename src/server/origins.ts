import { Forbidden } from '../core/errors.ts'
import type { Visitor } from './visitor.ts'

/** What is asked of where a request comes from. */
export interface Places {
  /** Whether callers show who they are. */
  readonly required: boolean
  /** Origins of pages that may ask, besides the server's own; `*` for all. */
  readonly origins: readonly string[]
}

/**
 * Throws `Forbidden`: `foreign_host` for a request to another name than this machine's, where nobody shows who they are,
 * since a page can point its own name at 127.0.0.1; `foreign_origin` for one by a page that may not ask. Programs send no
 * `Origin`.
 */
export function assertPlace(visitor: Visitor, places: Places): void {
  const { host, origin } = visitor
  if (!places.required && (host === undefined || !isLoopback(hostName(host)))) {
    throw new Forbidden({
      code: 'foreign_host',
      message:
        'The request was addressed to another host than this machine, and without a token only that is answered.',
      hint: 'Set server.token (MILLRACE_SERVER_TOKEN) and send it, or ask from this machine.',
    })
  }
  if (origin === undefined || mayAsk(origin, visitor, places)) return
  throw new Forbidden({
    code: 'foreign_origin',
    message: `Pages of ${shortened(origin)} may not ask this server.`,
    hint: 'Name the origin in server.origins (MILLRACE_SERVER_ORIGINS), if it should.',
  })
}

/** The page may be the server's own, one of this machine on this machine, or one that is named. */
function mayAsk(origin: string, { host = '', secure }: Visitor, { origins }: Places): boolean {
  if (origins.includes('*') || origins.includes(origin)) return true
  if (!URL.canParse(origin)) return false
  const page = new URL(origin)
  // A proxy may have taken the TLS off, so https is as good as http here, but not the other way round.
  const isSameScheme = page.protocol === 'https:' || (page.protocol === 'http:' && !secure)
  if (isSameScheme && page.host === host.toLowerCase()) return true
  return isLoopback(hostName(host)) && isLoopback(page.hostname)
}

export function isLoopback(name: string): boolean {
  return name === 'localhost' || name === '::1' || name === '[::1]' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(name)
}

/** `127.0.0.1:8080` without its port. */
function hostName(host: string): string {
  return host.startsWith('[') ? host.slice(0, host.indexOf(']') + 1) : (host.split(':')[0] ?? '')
}

function shortened(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text
}
