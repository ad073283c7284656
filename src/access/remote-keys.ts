import { createLocalJWKSet, createRemoteJWKSet, customFetch, type JWKSCacheInput, jwksCache } from 'jose'
import { errorMessage, Retryable } from '../core/errors.ts'
import { type Candidates, fitting, type Warn } from './key-set.ts'

/** A token whose key is not known has the keys fetched again, at most so often. */
const cooldownMs = 10_000
/** Keys are fetched anew after so long, so that one that was withdrawn is trusted no longer. */
const freshMs = 10 * 60_000
/** Keys that cannot be fetched anew are used for so long: about as long as tokens that were made before live. */
const staleMs = 60 * 60_000
const timeoutMs = 3_000
/** A server that could not be asked is left alone for so long, however many tokens come. */
const pauseMs = 5_000

/** The keys at an address. Throws `Retryable` (`keys_unreachable`) if they cannot be fetched and none that is kept fits. */
export function remoteKeys(url: URL, warn: Warn): Candidates {
  const cache: JWKSCacheInput = {}
  let resumes = 0
  const remote = createRemoteJWKSet(url, {
    timeoutDuration: timeoutMs,
    cooldownDuration: cooldownMs,
    cacheMaxAge: freshMs,
    [jwksCache]: cache,
    [customFetch]: async (address, options) => {
      if (Date.now() < resumes) throw new Error('it could not be asked a moment ago')
      return fetch(address, options)
    },
  })

  const failed = (error: unknown) => {
    if (Date.now() < resumes) return
    resumes = Date.now() + pauseMs
    const reason = [errorMessage(error), error instanceof Error && error.cause ? errorMessage(error.cause) : []]
    warn('the keys of tokens cannot be fetched', { url: url.href, reason: reason.flat().join(': ') })
  }
  const kept = () => {
    const { uat, jwks } = cache
    return uat !== undefined && Date.now() - uat < staleMs ? jwks : undefined
  }

  // A wrong address is told at the start, not with the first token.
  remote.reload().catch(failed)

  return async (header, token) => {
    try {
      return await fitting(remote, header, token)
    } catch (error) {
      failed(error)
      const keys = kept()
      const candidates = keys === undefined ? [] : await fitting(createLocalJWKSet(keys), header, token)
      if (candidates.length > 0) return candidates
      throw new Retryable({
        code: 'keys_unreachable',
        message: 'The keys that tokens are verified with cannot be fetched at present.',
        delayMs: pauseMs,
      })
    }
  }
}
