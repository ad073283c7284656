import { generateKeyPairSync, randomUUID, sign } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'

/** An OAuth 2.0 server for tests: client credentials (RFC 6749, 4.4) for one client, tokens that are JWT signed by RS256. */
export interface TokenServer extends AsyncDisposable {
  /** Where tokens come from. */
  readonly tokenUrl: string
  /** Where the keys are with which tokens are checked. */
  readonly jwks: string
  readonly issuer: string
  readonly audience: string
  readonly clientId: string
  readonly clientSecret: string
  /** How many tokens were given out. */
  readonly issued: () => number
}

export interface TokenServerOptions {
  /** How long a token is good for, in seconds. */
  readonly lifetime?: number
}

export async function startTokenServer(options: TokenServerOptions = {}): Promise<TokenServer> {
  const { lifetime = 300 } = options
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const keyId = randomUUID()
  const client = { id: 'millrace', secret: randomUUID() }
  const issuer = 'urn:millrace:test'
  const audience = 'kafka'
  let issued = 0

  const token = (): string => {
    issued += 1
    const now = Math.floor(Date.now() / 1000)
    const claims = { iss: issuer, aud: audience, sub: client.id, iat: now, exp: now + lifetime, jti: randomUUID() }
    const parts = [{ alg: 'RS256', typ: 'JWT', kid: keyId }, claims]
    const signed = parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
    return `${signed}.${sign('sha256', Buffer.from(signed), privateKey).toString('base64url')}`
  }
  const answer = async (request: IncomingMessage): Promise<[status: number, body: unknown]> => {
    if (request.url === '/jwks') {
      return [200, { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: keyId, use: 'sig', alg: 'RS256' }] }]
    }
    const form = new URLSearchParams(await text(request))
    if (request.method !== 'POST' || form.get('grant_type') !== 'client_credentials') {
      return [400, { error: 'unsupported_grant_type' }]
    }
    const shown = credentials(request.headers.authorization) ?? [form.get('client_id'), form.get('client_secret')]
    if (shown[0] !== client.id || shown[1] !== client.secret) return [401, { error: 'invalid_client' }]
    return [200, { access_token: token(), token_type: 'Bearer', expires_in: lifetime }]
  }

  const server = createServer((request, response) => {
    void answer(request).then(([status, body]) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const base = `http://127.0.0.1:${address.port}`
  return {
    tokenUrl: `${base}/token`,
    jwks: `${base}/jwks`,
    issuer,
    audience,
    clientId: client.id,
    clientSecret: client.secret,
    issued: () => issued,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise<void>((closed) => server.close(() => closed()))
    },
  }
}

/** Name and password of basic authentication, which RFC 6749 wants form-encoded. */
function credentials(header: string | undefined): (string | undefined)[] | undefined {
  if (header === undefined || !header.startsWith('Basic ')) return undefined
  const pair = Buffer.from(header.slice('Basic '.length), 'base64').toString()
  return [pair.slice(0, pair.indexOf(':')), pair.slice(pair.indexOf(':') + 1)].map(decodeURIComponent)
}
