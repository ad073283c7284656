import { createPublicKey, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createLocalJWKSet, type JSONWebKeySet } from 'jose'
import { errorMessage, InvalidInput } from '../core/errors.ts'
import { algorithmsOf, publicAlgorithms, secretAlgorithms } from './algorithms.ts'
import { FollowedFiles } from './files.ts'
import { type Candidates, fitting, type Warn } from './key-set.ts'
import { remoteKeys } from './remote-keys.ts'
import type { TokenSettings } from './settings.ts'

/** What tokens are verified with. */
export interface Keys {
  /** Never those of a secret and those of public keys together: a public key is no secret that could sign. */
  readonly algorithms: readonly string[]
  readonly candidates: Candidates
}

/**
 * Throws `InvalidInput`: `key_unusable` for a key, or a file of keys, that cannot be read or used; `secret_too_short` for the
 * algorithms that are asked for.
 */
export async function openKeys(settings: TokenSettings, warn: Warn): Promise<Keys> {
  const { secret, publicKey, jwks, algorithms } = settings
  if (secret !== undefined) return secretKeys(secret, algorithms)
  if (publicKey !== undefined) return pemKeys(publicKey, algorithms, warn)
  const asked = { algorithms: algorithms ?? publicAlgorithms }
  if (jwks === undefined) return { ...asked, candidates: async () => [] }
  if (/^https?:/.test(jwks)) return { ...asked, candidates: remoteKeys(new URL(jwks), warn) }
  const make = async () => createLocalJWKSet(await readKeySet(jwks))
  const file = await FollowedFiles.open([jwks], make, keepsOld(jwks, warn))
  return { ...asked, candidates: async (header, token) => fitting(await file.get(), header, token) }
}

function secretKeys(secret: string, asked: readonly string[] | undefined): Keys {
  const key = new TextEncoder().encode(secret)
  const algorithms = asked ?? Object.keys(secretAlgorithms).filter((name) => key.length >= least(name))
  const tooShort = algorithms.find((name) => key.length < least(name))
  if (tooShort !== undefined || algorithms.length === 0) {
    const name = tooShort ?? 'HS256'
    throw new InvalidInput({
      code: 'secret_too_short',
      message: `server.jwt.secret has ${key.length} bytes, and ${name} needs ${least(name)} at least.`,
      hint: 'Make one with: openssl rand -base64 64 | tr -d "\\n"',
    })
  }
  return { algorithms, candidates: async () => [key] }
}

function least(algorithm: string): number {
  return secretAlgorithms[algorithm] ?? Number.POSITIVE_INFINITY
}

async function pemKeys(paths: readonly string[], asked: readonly string[] | undefined, warn: Warn): Promise<Keys> {
  const files = await FollowedFiles.open(paths, () => Promise.all(paths.map(readPem)), keepsOld(paths.join(', '), warn))
  return {
    algorithms: asked ?? publicAlgorithms,
    candidates: async ({ alg = '' }) => (await files.get()).filter((key) => algorithmsOf(key).includes(alg)),
  }
}

async function readPem(path: string): Promise<KeyObject> {
  const text = await read(path)
  // A private key would do as well, but has no place on a server that only verifies.
  if (text.includes('PRIVATE KEY')) {
    throw unusable(path, 'it holds a private key', 'Give the public key only: openssl pkey -in key.pem -pubout')
  }
  try {
    const key = createPublicKey(text)
    if (algorithmsOf(key).length > 0) return key
  } catch (error) {
    throw unusable(path, errorMessage(error), 'It is a PEM file with a public key, or with a certificate.')
  }
  throw unusable(path, 'tokens are not signed with such a key', `There are ${publicAlgorithms.join(', ')}.`)
}

async function readKeySet(path: string): Promise<JSONWebKeySet> {
  const text = await read(path)
  try {
    const set: JSONWebKeySet = JSON.parse(text)
    createLocalJWKSet(set)
    return set
  } catch (error) {
    throw unusable(path, errorMessage(error), 'It is a JSON Web Key Set: {"keys": […]}.')
  }
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw unusable(path, errorMessage(error))
  }
}

function unusable(path: string, reason: string, hint?: string): InvalidInput {
  return new InvalidInput({ code: 'key_unusable', message: `The key in ${path} cannot be used: ${reason}.`, hint })
}

function keepsOld(path: string, warn: Warn): (error: unknown) => void {
  return (error) =>
    warn('keys that have changed cannot be used; those before stay', { path, error: errorMessage(error) })
}
