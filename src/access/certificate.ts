import type { PeerCertificate } from 'node:tls'
import { Unauthenticated } from '../core/errors.ts'
import type { Principal } from '../core/principal.ts'

/** What is read of a client's certificate, which TLS has verified. */
export interface ClientCertificate extends Pick<PeerCertificate, 'subject' | 'valid_to'> {
  readonly subjectaltname?: string | undefined
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
