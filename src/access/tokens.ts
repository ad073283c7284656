import {
  decodeProtectedHeader,
  errors,
  type FlattenedJWSInput,
  type JWTPayload,
  type JWTVerifyOptions,
  jwtVerify,
} from 'jose'
import { errorMessage, Unauthenticated } from '../core/errors.ts'
import type { Principal } from '../core/principal.ts'
import type { Key, Warn } from './key-set.ts'
import { openKeys } from './keys.ts'
import type { TokenSettings } from './settings.ts'

/** Whose token it is. */
export type Verify = (token: string) => Promise<Pick<Principal, 'id' | 'claims' | 'expires'>>

/** Longer ones are not looked at. */
const longestToken = 16_384

/**
 * Verifies JSON Web Tokens. A token must name someone (`sub`) and expire (`exp`). It throws `Unauthenticated`:
 * `token_expired`; `token_untrusted`, if it is of another issuer, for another audience, or signed by a key or in a way that
 * is not taken here; `token_invalid` for everything else; and `Retryable` while keys cannot be fetched. Throws itself what
 * `openKeys` throws.
 */
export async function openVerifier(settings: TokenSettings, warn: Warn): Promise<Verify> {
  const { algorithms, candidates } = await openKeys(settings, warn)
  if (settings.secret === undefined) warnOfOthers(settings, warn)
  const options: JWTVerifyOptions = {
    algorithms: [...algorithms],
    requiredClaims: ['sub', 'exp'],
    clockTolerance: settings.clockTolerance / 1_000,
    ...(settings.issuer && { issuer: [...settings.issuer] }),
    ...(settings.audience && { audience: [...settings.audience] }),
  }
  return async (token) => {
    const { header, input } = parse(token)
    if (!algorithms.includes(header.alg ?? '')) {
      throw refused('token_untrusted', `it is signed by ${JSON.stringify(header.alg)}, which is not taken here`)
    }
    return principalOf(await verifyBy(await candidates(header, input), token, options))
  }
}

/** Who signs for this server mostly signs for others too. */
function warnOfOthers({ issuer, audience }: TokenSettings, warn: Warn): void {
  if (audience === undefined)
    warn('server.jwt.audience is not set: tokens that were made for other services are taken too')
  if (issuer === undefined) warn('server.jwt.issuer is not set: whoever has one of the keys may have issued a token')
}

function parse(token: string) {
  const [protectedHeader, payload, signature, ...rest] = token.split('.')
  const isWhole = payload !== undefined && signature !== undefined && rest.length === 0
  if (protectedHeader === undefined || !isWhole || token.length > longestToken) {
    throw refused('token_invalid', 'it is no JSON Web Token that is signed')
  }
  const input: FlattenedJWSInput = { protected: protectedHeader, payload, signature }
  try {
    return { header: decodeProtectedHeader(token), input }
  } catch {
    throw refused('token_invalid', 'its header cannot be read')
  }
}

/** Several keys are tried one after the other, since the token does not say which it was signed with. */
async function verifyBy(keys: readonly Key[], token: string, options: JWTVerifyOptions): Promise<JWTPayload> {
  if (keys.length === 0) throw refused('token_untrusted', 'no key that is trusted here could have signed it')
  let problem: unknown
  for (const key of keys) {
    try {
      return (await jwtVerify(token, key, options)).payload
    } catch (error) {
      problem = error
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) break
    }
  }
  throw explained(problem)
}

/** Errors of `jose` hold the claims, so they are no causes: what is a cause may come into a log. */
function explained(error: unknown): Unauthenticated {
  if (error instanceof errors.JWTExpired) return refused('token_expired', 'it has expired')
  if (error instanceof errors.JWTClaimValidationFailed) {
    const { claim, reason } = error
    if (claim === 'iss') return refused('token_untrusted', 'it is of an issuer that is not trusted here')
    if (claim === 'aud') return refused('token_untrusted', 'it is meant for another audience')
    if (claim === 'nbf' && reason === 'check_failed') return refused('token_invalid', 'it is not valid yet')
    return refused('token_invalid', `its claim "${claim}" is ${reason === 'missing' ? 'missing' : 'wrong'}`)
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return refused('token_invalid', 'its signature is wrong')
  }
  if (error instanceof errors.JOSEError) return refused('token_invalid', 'it cannot be read')
  return refused('token_invalid', `it cannot be verified with its key: ${errorMessage(error)}`)
}

function principalOf({ sub, exp, ...rest }: JWTPayload): Awaited<ReturnType<Verify>> {
  if (typeof sub !== 'string' || sub === '' || exp === undefined) {
    throw refused('token_invalid', 'its claim "sub" is no text')
  }
  return { id: sub, claims: { ...rest, sub, exp }, expires: exp * 1_000 }
}

function refused(code: string, reason: string): Unauthenticated {
  return new Unauthenticated({ code, message: `The token is refused: ${reason}.` })
}
