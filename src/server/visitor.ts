import { IncomingMessage } from 'node:http'
import { type PeerCertificate, TLSSocket } from 'node:tls'
import type { Context } from 'hono'
import type { ClientCertificate } from '../access/index.ts'

/** What a request says of who sent it, and from where. */
export interface Visitor {
  readonly host: string | undefined
  readonly origin: string | undefined
  readonly token: string | undefined
  /** Undefined without one; `untrusted` if no authority that is trusted here has signed it. */
  readonly certificate: ClientCertificate | 'untrusted' | undefined
  /** The other end of the connection. */
  readonly address: string | undefined
  /** Whether the connection speaks TLS. */
  readonly secure: boolean
}

/** Of a request for the application. */
export function visitorOf(c: Context): Visitor {
  const bindings: unknown = c.env
  const incoming = typeof bindings === 'object' && bindings !== null ? Reflect.get(bindings, 'incoming') : undefined
  const inAddress = c.req.method === 'GET' ? c.req.query('token') : undefined
  return {
    ...connectionOf(incoming instanceof IncomingMessage ? incoming : undefined),
    host: c.req.header('host') ?? new URL(c.req.url).host,
    origin: c.req.header('origin'),
    // Browsers cannot set headers on an EventSource, so a stream may carry its token in the address.
    token: bearerToken(c.req.header('authorization')) ?? inAddress,
  }
}

/** Of a request for a WebSocket, on which browsers can set no header either. */
export function upgradeVisitor(request: IncomingMessage): Visitor {
  const { host, origin, authorization } = request.headers
  const [, query] = (request.url ?? '').split('?', 2)
  const inAddress = new URLSearchParams(query).get('token') ?? undefined
  return { ...connectionOf(request), host, origin, token: bearerToken(authorization) ?? inAddress }
}

function bearerToken(authorization: string | undefined): string | undefined {
  return /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1]
}

function connectionOf(request: IncomingMessage | undefined): Pick<Visitor, 'address' | 'secure' | 'certificate'> {
  const socket = request?.socket
  const address = socket?.remoteAddress
  if (!(socket instanceof TLSSocket)) return { address, secure: false, certificate: undefined }
  // Empty without a certificate, which its type does not say.
  const shown: Partial<PeerCertificate> | undefined = socket.getPeerCertificate()
  const { subject, subjectaltname, valid_to } = shown ?? {}
  if (subject === undefined || valid_to === undefined) return { address, secure: true, certificate: undefined }
  const certificate = socket.authorized ? { subject, subjectaltname, valid_to } : 'untrusted'
  return { address, secure: true, certificate }
}
