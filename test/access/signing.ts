import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { type CryptoKey, exportJWK, exportSPKI, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose'

/** A pair of keys of somebody who issues tokens. */
export interface Issuer {
  readonly algorithm: string
  readonly kid: string
  readonly privateKey: CryptoKey
  /** As PEM. */
  readonly publicKey: string
  readonly jwk: JWK
}

export async function makeIssuer(algorithm: string, kid = 'one'): Promise<Issuer> {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true })
  const jwk = { ...(await exportJWK(publicKey)), kid, alg: algorithm, use: 'sig' }
  return { algorithm, kid, privateKey, publicKey: await exportSPKI(publicKey), jwk }
}

/** A token that is good for an hour, unless the claims say otherwise. */
export function sign(
  { algorithm, kid, privateKey }: Pick<Issuer, 'algorithm' | 'privateKey'> & { readonly kid: string | undefined },
  claims: JWTPayload = {},
): Promise<string> {
  return new SignJWT({ sub: 'ann', exp: seconds() + 3_600, ...claims })
    .setProtectedHeader({ alg: algorithm, ...(kid === undefined ? {} : { kid }) })
    .sign(privateKey)
}

export function signBySecret(secret: string, claims: JWTPayload = {}, algorithm = 'HS256'): Promise<string> {
  return signClaims(secret, { sub: 'ann', exp: seconds() + 3_600, ...claims }, algorithm)
}

/** With these claims and no others. */
export function signClaims(secret: string, claims: JWTPayload, algorithm = 'HS256'): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: algorithm }).sign(new TextEncoder().encode(secret))
}

export function seconds(): number {
  return Math.floor(Date.now() / 1_000)
}

export async function pemFile(folder: string, { publicKey }: Pick<Issuer, 'publicKey'>, name = 'key.pem') {
  const path = join(folder, name)
  await writeFile(path, publicKey)
  return path
}

/** Parts of a token put together by hand, as a forger would. */
export function forge(header: unknown, claims: unknown, signature = ''): string {
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${encode(header)}.${encode(claims)}.${signature}`
}

/** A server of keys on a free port. */
export interface KeyServer extends AsyncDisposable {
  readonly url: string
  keys: readonly JWK[]
  /** What it answers instead of keys, if that is no 200. */
  status: number
  requests: number
}

export async function serveKeys(keys: readonly JWK[]): Promise<KeyServer> {
  const server = createServer((_, response) => {
    state.requests++
    response.writeHead(state.status, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ keys: state.keys }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const bound = server.address()
  const port = typeof bound === 'object' ? bound?.port : undefined
  const state: KeyServer = {
    url: `http://127.0.0.1:${port}/keys`,
    keys,
    status: 200,
    requests: 0,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return state
}
