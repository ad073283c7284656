import type { Addresses } from './addresses.ts'
import { type ErrorDetails, MillraceClientError } from './errors.ts'
import type { Tokens } from './tokens.ts'

export interface HttpOptions {
  readonly addresses: Addresses
  readonly tokens: Tokens
  readonly fetch: typeof globalThis.fetch
}

/** Calls with the client's token, to whichever of its addresses answers. */
export class Http {
  readonly #addresses: Addresses
  readonly #tokens: Tokens
  readonly #fetch: typeof globalThis.fetch

  constructor({ addresses, tokens, fetch }: HttpOptions) {
    this.#addresses = addresses
    this.#tokens = tokens
    this.#fetch = fetch
  }

  /**
   * Throws `MillraceClientError` with what the server says is wrong, or `unreachable`. `repeatable`: it changes nothing,
   * so that it may be asked of another address after one that did not answer.
   */
  async request(path: string, init: RequestInit = {}, repeatable = false): Promise<Response> {
    for (let left = repeatable ? this.#addresses.count : 1; ; left--) {
      const address = this.#addresses.current
      try {
        const response = await this.#authorized(address + path, init)
        if (!response.ok) throw await problem(response)
        return response
      } catch (error) {
        if (!(error instanceof MillraceClientError) || error.code !== 'unreachable') throw error
        this.#addresses.leave(address)
        if (left <= 1) throw error
      }
    }
  }

  async post<Answer>(path: string, body: unknown, signal?: AbortSignal, repeatable = true): Promise<Answer> {
    const headers = { 'content-type': 'application/json' }
    const init = { method: 'POST', headers, body: JSON.stringify(body), ...(signal ? { signal } : {}) }
    // The server is trusted to answer as it describes.
    return JSON.parse(await (await this.request(path, init, repeatable)).text())
  }

  /** Whether there is a server at the current address. */
  async answers(): Promise<boolean> {
    try {
      return (await this.#fetch(`${this.#addresses.current}/livez`)).ok
    } catch {
      return false
    }
  }

  async #authorized(url: string, init: RequestInit): Promise<Response> {
    const token = await this.#tokens.current()
    const response = await this.#send(url, init, token)
    const sentOnce = init.body instanceof ReadableStream
    if (response.status !== 401 || !this.#tokens.renewable || sentOnce) return response
    await response.body?.cancel()
    return this.#send(url, init, await this.#tokens.renew(token))
  }

  async #send(url: string, init: RequestInit, token: string | undefined): Promise<Response> {
    const headers = new Headers(init.headers)
    if (token !== undefined) headers.set('authorization', `Bearer ${token}`)
    try {
      return await this.#fetch(url, { ...init, headers })
    } catch (cause) {
      if (init.signal?.aborted) throw cause
      const hint = 'Is it running, and does it let pages of this origin in?'
      throw new MillraceClientError({ code: 'unreachable', message: 'The server does not answer.', hint, cause })
    }
  }
}

async function problem(response: Response): Promise<MillraceClientError> {
  const { status } = response
  const { detail, code, hint, errors } = parseProblem(await response.text())
  const message = detail ?? `The server answered ${status}.`
  return new MillraceClientError({ status, message, code: code ?? `http_${status}`, hint, errors })
}

function parseProblem(text: string): Partial<ErrorDetails> & { readonly detail?: string } {
  try {
    return JSON.parse(text) ?? {}
  } catch {
    return {}
  }
}
