import { Unauthenticated } from '../core/errors.ts'
import type { Principal } from '../core/principal.ts'

type Named = string | string[] | undefined

/** What is read of a client's certificate, which TLS has verified; as Node tells it. */
export interface ClientCertificate {
  readonly subject: { readonly CN?: Named; readonly O?: Named; readonly OU?: Named }
  readonly subjectaltname?: string | undefined
  readonly valid_to: string
}

/**
 * Whom a certificate is of: the common name of its subject, or else its first alternative name. Its claims are `sub` (the
 * same), `cn`, `o`, `ou` and `san`, the alternative names with their types, such as `DNS:crm.internal`. Throws
 * `Unauthenticated` (`certificate_invalid`) if it names nobody.
 */
export function certified({
  subject,
  subjectaltname,
  valid_to,
}: ClientCertificate): Pick<Principal, 'id' | 'claims' | 'expires'> {
  const { CN, O, OU } = subject
  const san = alternativeNames(subjectaltname)
  const id = [CN].flat()[0] ?? san[0]?.replace(/^\w+(?: \w+)*:/, '')
  if (id === undefined || id === '') {
    throw new Unauthenticated({
      code: 'certificate_invalid',
      message: 'The client certificate has neither a common name nor an alternative name, so it names nobody.',
    })
  }
  const claims = { sub: id, cn: CN, o: O, ou: OU, san }
  const named = Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined))
  return { id, claims: named, expires: Date.parse(valid_to) }
}

/** Node separates them by a comma and a space, and writes those as JSON texts that have one inside. */
function alternativeNames(text = ''): string[] {
  return [...text.matchAll(/((?:[\w ]+:)?)("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/g)].flatMap(
    ([whole, type = '', name = '']) => {
      if (whole === '') return []
      return [type + (name.startsWith('"') ? String(JSON.parse(name)) : name)]
    },
  )
}
