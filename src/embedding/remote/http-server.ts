import { errorCode, errorMessage, Fatal, MillraceError, Retryable } from '../../core/errors.ts'
import { isJsonObject, type Json } from '../../core/event.ts'
import { retryAfterMs } from './retry-after.ts'

/** How a request ended, for metrics. `limited`: there were too many; `refused`: what was asked cannot be done. */
export type RequestOutcome = 'ok' | 'limited' | 'refused' | 'unavailable' | 'timeout' | 'error'
export type ObserveRequest = (outcome: RequestOutcome, seconds: number) => void

export interface HttpServerOptions {
  /** Before `/embeddings`. */
  readonly url: string
  readonly apiKey?: string | undefined
  /** Milliseconds that one request may take. */
  readonly timeout: number
  readonly observe?: ObserveRequest | undefined
}

export interface Question {
  readonly method: 'GET' | 'POST'
  /** Behind the server's address, such as `/embeddings`. */
  readonly path: string
  readonly body?: unknown
  /** Of the answer. No more than that is held. */
  readonly mostBytes: number
}

/** The server does not take what this request holds. */
export class Refused extends Error {
  /** It says that a text is too long for it. */
  readonly tooLong: boolean
  constructor(message: string, tooLong: boolean) {
    super(message)
    this.tooLong = tooLong
  }
}

/** The server does not serve us, as we are set up or as it is now. */
export class Denied extends Fatal {}

/** There was an answer, and it is no good. */
export class Misunderstood extends Retryable {}

/** What servers say of a text that is too long for their model, such as OpenAI's, vLLM, llama.cpp and Ollama. */
const saysTooLong =
  /too (?:long|large)|context (?:length|size|window)|maximum (?:input )?length|(?:less|fewer|more) than \d+ tokens/i
/** Of what a server says of an error. */
const longestReason = 300
const mostReasonBytes = 16_384

/** The HTTP of an OpenAI-compatible API. The key goes to its own address alone: redirects are not followed. */
export class HttpServer {
  /** The address without what may be secret in it. */
  readonly name: string
  readonly #url: URL
  readonly #apiKey: string | undefined
  readonly #timeoutMs: number
  readonly #observe: ObserveRequest | undefined
  readonly #underWay = new Set<AbortController>()
  #closed = false

  constructor({ url, apiKey, timeout, observe }: HttpServerOptions) {
    this.#url = new URL(url)
    this.name = this.#url.origin + this.#url.pathname.replace(/\/+$/, '')
    this.#apiKey = apiKey
    this.#timeoutMs = timeout
    this.#observe = observe
  }

  /**
   * The JSON that the server answers. Throws `Retryable` (`embedder_unavailable`), `Refused`, or `Denied`
   * (`model_unusable`) for what only a change of settings, or of the server's, can mend.
   */
  async ask(question: Question): Promise<Json> {
    if (this.#closed) throw closed()
    const controller = new AbortController()
    const timer = setTimeout(() => controller.abort(), this.#timeoutMs)
    const began = performance.now()
    const observe = (outcome: RequestOutcome) => this.#observe?.(outcome, (performance.now() - began) / 1_000)
    this.#underWay.add(controller)
    try {
      const answer = await this.#answer(question, controller.signal)
      observe('ok')
      return answer
    } catch (error) {
      if (this.#closed) throw closed()
      if (error instanceof Unavailable) observe(error.outcome)
      else if (error instanceof Refused) observe('refused')
      else if (!(error instanceof MillraceError)) observe(controller.signal.aborted ? 'timeout' : 'unavailable')
      else observe('error')
      if (error instanceof MillraceError || error instanceof Refused) throw error
      throw this.#unreachable(error, controller.signal.aborted)
    } finally {
      clearTimeout(timer)
      this.#underWay.delete(controller)
    }
  }

  /** The error for an answer that does not say what it has to. */
  misunderstood(what: string): Misunderstood {
    const message = `${this.name} answered something else than was asked for: ${what}.`
    return new Misunderstood({ code: 'embedder_unavailable', message })
  }

  unusable(message: string, hint: string): Fatal {
    return new Fatal({ code: 'model_unusable', message, hint })
  }

  /** Ends every request that is under way. */
  close(): void {
    this.#closed = true
    for (const controller of this.#underWay) controller.abort()
  }

  async #answer({ method, path, body, mostBytes }: Question, signal: AbortSignal): Promise<Json> {
    const response = await fetch(this.#address(path), {
      method,
      headers: {
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(this.#apiKey === undefined ? {} : { authorization: `Bearer ${this.#apiKey}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      redirect: 'manual',
      signal,
    })
    if (!response.ok) throw await this.#refusal(response)
    const text = await read(response, mostBytes)
    if (text === undefined) throw this.misunderstood(`more than ${mostBytes} bytes`)
    try {
      return JSON.parse(text)
    } catch {
      throw this.misunderstood('no JSON')
    }
  }

  #address(path: string): URL {
    const address = new URL(this.#url)
    address.pathname = address.pathname.replace(/\/+$/, '') + path
    return address
  }

  async #refusal(response: Response): Promise<Error> {
    const { status, headers } = response
    const reason = this.#cleaned(reasonOf((await read(response, mostReasonBytes)) ?? ''))
    const said = `${this.name} answered ${status}${reason === '' ? '' : `: ${reason}`}`
    const delayMs = retryAfterMs(headers, Date.now())
    const tooLong = status === 413 || saysTooLong.test(reason)
    // Some answer 500 to a text that is too long: it would be in the way for ever.
    if (status === 400 || status === 413 || status === 422 || (status === 500 && tooLong)) {
      return new Refused(said, tooLong)
    }
    if (status === 429) return this.#unavailable('limited', said, delayMs)
    if (status === 408 || status === 409 || status === 425 || status >= 500) {
      return this.#unavailable('unavailable', said, delayMs)
    }
    const hint = adviceOn(status, headers.get('location'), this.#url)
    return new Denied({ code: 'model_unusable', message: said, hint })
  }

  #unavailable(outcome: RequestOutcome, message: string, delayMs?: number): Unavailable {
    return new Unavailable(outcome, { code: 'embedder_unavailable', message, delayMs })
  }

  #unreachable(error: unknown, late: boolean): Unavailable {
    const seconds = this.#timeoutMs / 1_000
    if (late) return this.#unavailable('timeout', `${this.name} did not answer within ${seconds} s.`)
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
    const why = this.#cleaned(errorMessage(cause) || (errorCode(cause) ?? ''))
    return this.#unavailable('unavailable', `${this.name} cannot be reached: ${why}`)
  }

  /** For messages: one line, not long, and without the key, which some servers repeat. */
  #cleaned(text: string): string {
    const withoutKey = this.#apiKey === undefined ? text : text.replaceAll(this.#apiKey, '***')
    const line = withoutKey.replaceAll(/[\p{Cc}\p{Cs}\s]+/gu, ' ').trim()
    return line.length > longestReason ? `${line.slice(0, longestReason)}…` : line
  }
}

class Unavailable extends Retryable {
  readonly outcome: RequestOutcome
  constructor(outcome: RequestOutcome, detail: ConstructorParameters<typeof Retryable>[0]) {
    super(detail)
    this.outcome = outcome
  }
}

function closed(): MillraceError {
  return new MillraceError({ code: 'embedder_closed', message: 'the embedder has been closed.' })
}

function adviceOn(status: number, location: string | null, asked: URL): string {
  if (status === 401 || status === 403) {
    return 'Set embedder.remote.apiKey (MILLRACE_EMBEDDER_REMOTE_API_KEY) to a key that may use this model.'
  }
  if (status === 404) {
    return 'Check embedder.model, by its name on that server, and embedder.remote.url, which ends before /embeddings.'
  }
  if (status >= 300 && status < 400 && location !== null && URL.canParse(location, asked.href)) {
    return `It sends to ${new URL(location, asked.href).origin}. Set embedder.remote.url to the address itself.`
  }
  return 'Check that embedder.remote.url is the address of an OpenAI-compatible API, before /embeddings.'
}

/** Undefined for what is too large. */
async function read(response: Response, mostBytes: number): Promise<string | undefined> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length
    if (bytes > mostBytes) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

/** The words in the customary forms of errors: OpenAI's, problem details, `message`; else the text itself. */
function reasonOf(text: string): string {
  const value = parsed(text)
  if (!isJsonObject(value)) return text
  const { error, detail, message } = value
  const words = [isJsonObject(error) ? error.message : error, detail, message].find((each) => typeof each === 'string')
  return typeof words === 'string' ? words : text
}

function parsed(text: string): Json {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
