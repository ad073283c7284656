import { createHash, timingSafeEqual } from 'node:crypto'
import { Unauthenticated } from '../core/errors.ts'
import { type Principal, unrestricted } from '../core/principal.ts'
import { type ClientCertificate, certified } from './certificate.ts'
import type { Warn } from './key-set.ts'
import { ruled } from './rules.ts'
import type { AccessSettings } from './settings.ts'
import { openVerifier } from './tokens.ts'

/** What a caller shows of itself. */
export interface Credentials {
  readonly token?: string | undefined
  /** That TLS has verified. */
  readonly certificate?: ClientCertificate | undefined
}

/** Who is let in. */
export interface Access {
  /** Without it everyone who reaches the server may do everything: it answers this machine alone. */
  readonly required: boolean
  /**
   * Whose credentials they are. Throws `Unauthenticated`: `unauthenticated` for none, and what `openVerifier` and
   * `certified` name; and `Retryable` while keys cannot be fetched. A token outranks a certificate.
   */
  authenticate(credentials: Credentials): Promise<Principal>
}

export interface AccessOptions {
  readonly warn?: Warn | undefined
}

/** Throws `InvalidInput` for keys that cannot be used. */
export async function createAccess(settings: AccessSettings, { warn = () => {} }: AccessOptions = {}): Promise<Access> {
  const { token, jwt, access: rules = [], tls } = settings
  const verify = jwt && (await openVerifier(jwt, warn))
  // Without rules a certificate lets nobody do anything: it is a second lock, and the token decides.
  const certificates = tls?.clients !== undefined && rules.length > 0
  const required = token !== undefined || verify !== undefined || tls?.clients !== undefined
  return {
    required,
    authenticate: async ({ token: shown, certificate }) => {
      if (!required) return unrestricted('local')
      if (shown !== undefined) {
        if (token !== undefined && isSame(shown, token)) return unrestricted('token')
        if (verify === undefined) throw new Unauthenticated({ code: 'token_invalid', message: 'The token is wrong.' })
        return ruled(await verify(shown), rules)
      }
      if (certificate !== undefined && certificates) return ruled(certified(certificate), rules)
      throw new Unauthenticated({
        code: 'unauthenticated',
        message: 'This server wants to know who asks, and the request has no token.',
        hint: 'Send "Authorization: Bearer <token>".',
      })
    },
  }
}

/** Takes as long whatever the texts have in common. */
function isSame(one: string, other: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(one), digest(other))
}
