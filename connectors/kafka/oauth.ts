import { errorMessage, Fatal, InvalidInput, Retryable } from '../../src/core/errors.ts'

export interface OauthOptions {
  readonly tokenUrl: string
  readonly clientId: string
  readonly clientSecret: string
  readonly scope?: string | undefined
}

const timeoutMs = 10_000
/** A token is fetched anew when less than this is left of its life. */
const reserveMs = 60_000
const defaultLifeMs = 5 * 60_000

/**
 * Answers access tokens by the client credentials grant (RFC 6749, section 4.4). A token serves until a minute before it
 * expires, or for half its life if that is shorter. Throws `Retryable` (`token_unavailable`), or `Fatal` when the
 * credentials are refused; at once `InvalidInput` for an address with credentials in it.
 */
export function oauthTokens(options: OauthOptions): () => Promise<string> {
  const { username, password } = new URL(options.tokenUrl)
  // Such an address cannot be asked, and would stand in every message.
  if (username !== '' || password !== '')
    throw new InvalidInput({
      code: 'incomplete_sasl',
      message: 'kafka.sasl.tokenUrl must not hold a user or password: clientId and clientSecret are for that',
    })
  let current: { readonly token: string; readonly until: number } | undefined
  let fetching: Promise<string> | undefined
  return async () => {
    if (current && Date.now() < current.until) return current.token
    fetching ??= fetchToken(options)
      .then(({ token, lifeMs }) => {
        current = { token, until: Date.now() + Math.max(lifeMs - reserveMs, lifeMs / 2) }
        return token
      })
      .finally(() => {
        fetching = undefined
      })
    return fetching
  }
}

async function fetchToken({ tokenUrl, clientId, clientSecret, scope }: OauthOptions) {
  const form = new URLSearchParams({ grant_type: 'client_credentials', ...(scope !== undefined && { scope }) })
  const credentials = `${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`
  const response = await fetch(tokenUrl, {
    method: 'POST',
    headers: {
      accept: 'application/json',
      authorization: `Basic ${Buffer.from(credentials).toString('base64')}`,
      'content-type': 'application/x-www-form-urlencoded',
    },
    body: form.toString(),
    signal: AbortSignal.timeout(timeoutMs),
  }).catch((error: unknown) => {
    throw unavailable(tokenUrl, errorMessage(error), error)
  })
  if (response.status === 400 || response.status === 401 || response.status === 403)
    throw new Fatal({
      code: 'authentication_failed',
      message: `kafka.sasl.tokenUrl ${tokenUrl} refused the client (status ${response.status})`,
      hint: 'check kafka.sasl.clientId, clientSecret and scope',
    })
  if (!response.ok) throw unavailable(tokenUrl, `status ${response.status}`)
  const answer: unknown = await response.json().catch(() => undefined)
  if (typeof answer !== 'object' || answer === null || !('access_token' in answer))
    throw unavailable(tokenUrl, 'the answer has no access_token')
  const { access_token: token } = answer
  if (typeof token !== 'string' || token === '') throw unavailable(tokenUrl, 'the access_token is no text')
  const seconds = 'expires_in' in answer ? Number(answer.expires_in) : Number.NaN
  return { token, lifeMs: seconds > 0 ? seconds * 1000 : defaultLifeMs }
}

function unavailable(tokenUrl: string, problem: string, cause?: unknown): Retryable {
  return new Retryable({ code: 'token_unavailable', message: `kafka.sasl.tokenUrl ${tokenUrl}: ${problem}`, cause })
}
