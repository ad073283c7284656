import type { KeyObject } from 'node:crypto'
import { type CryptoKey, errors, type FlattenedJWSInput, type JWSHeaderParameters } from 'jose'

export type Key = CryptoKey | KeyObject | Uint8Array
export type Warn = (message: string, fields?: Readonly<Record<string, unknown>>) => void

/** The keys that a token may have been signed with; none if no known key fits. */
export type Candidates = (header: JWSHeaderParameters, token: FlattenedJWSInput) => Promise<readonly Key[]>

type KeySet = (header: JWSHeaderParameters, token: FlattenedJWSInput) => Promise<CryptoKey>

/** Those of a set: several, if the token does not say which. */
export async function fitting(set: KeySet, header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<Key[]> {
  try {
    return [await set(header, token)]
  } catch (error) {
    if (error instanceof errors.JWKSNoMatchingKey || isUnusable(error)) return []
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error
    const keys: Key[] = []
    for await (const key of error) keys.push(key)
    return keys
  }
}

/** Whether it says of a key of the set that it is none: that is no reason to take the set for one that cannot be fetched. */
function isUnusable(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'DataError'
}
