import { resolve } from 'node:path'
import type { Issue } from './issues.ts'
import type { RuntimeSettings } from './runtime-schema.ts'

type Server = RuntimeSettings['server']

/** With the paths of files made absolute. */
export function withServerFiles({ jwt, tls, ...server }: Server, base: string): Server {
  return { ...server, ...(jwt && { jwt: withKeys(jwt, base) }), ...(tls && { tls: withCertificates(tls, base) }) }
}

function withKeys(jwt: NonNullable<Server['jwt']>, base: string): typeof jwt {
  const { publicKey, jwks } = jwt
  return {
    ...jwt,
    ...(publicKey && { publicKey: publicKey.map((path) => resolve(base, path)) }),
    ...(jwks && { jwks: /^https?:/.test(jwks) ? jwks : resolve(base, jwks) }),
  }
}

function withCertificates(tls: NonNullable<Server['tls']>, base: string): typeof tls {
  const { cert, key, ca } = tls
  return { ...tls, cert: resolve(base, cert), key: resolve(base, key), ...(ca && { ca: resolve(base, ca) }) }
}

/** What does not add up in settings that are each well formed: a door that lets everyone in, or nobody. */
export function serverFindings({ host, token, jwt, access, tls }: Server): Issue[] {
  const issues: Issue[] = []
  const add = (name: string, code: string, message: string) =>
    issues.push({ path: ['server', name], code, at: 'value', message })
  const clients = tls?.clients !== undefined
  if (!isLoopback(host) && token === undefined && jwt === undefined && !clients) {
    add(
      'host',
      'authentication_required',
      `listening on ${host} lets others in: set server.token (MILLRACE_SERVER_TOKEN), server.jwt or server.tls.clients as well`,
    )
  }
  if (access.length === 0 && jwt !== undefined) {
    add('jwt', 'access_required', 'nobody with a JSON Web Token may do anything: say in server.access what they may')
  }
  if (access.length === 0 && clients && token === undefined) {
    add('tls', 'access_required', 'nobody with a certificate may do anything: say in server.access what they may')
  }
  if (access.length > 0 && jwt === undefined && !clients) {
    add(
      'access',
      'access_unused',
      'rules are for those who show a JSON Web Token or a certificate: set server.jwt or tls.clients',
    )
  }
  return issues
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d+){3}$/.test(host)
}
