import type { KeyObject } from 'node:crypto'

/** Algorithms by which a secret signs, with the bytes that it needs at least (RFC 7518, 3.2). */
export const secretAlgorithms: Readonly<Record<string, number>> = { HS256: 32, HS384: 48, HS512: 64 }

/** Algorithms by which a private key signs, so that those who have only the public key can verify. */
export const publicAlgorithms = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
] as const

const curves: Readonly<Record<string, string>> = { prime256v1: 'ES256', secp384r1: 'ES384', secp521r1: 'ES512' }

/** The algorithms that a public key can be used with. */
export function algorithmsOf({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): readonly string[] {
  if (type === 'rsa') return publicAlgorithms.filter((name) => /^[RP]S/.test(name))
  if (type === 'ed25519') return ['EdDSA', 'Ed25519']
  if (type === 'ec') return [curves[details?.namedCurve ?? ''] ?? []].flat()
  return []
}
