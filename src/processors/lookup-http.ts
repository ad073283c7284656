import type { Failure } from '../core/component.ts'
import { errorCode, errorMessage, Fatal, Retryable } from '../core/errors.ts'
import { isJsonObject, type Json } from '../core/event.ts'
import type { Answer, Lookup } from './lookup-cache.ts'

const placeholder = '{key}'
const timeoutMs = 10_000
const mostBytes = 2 ** 20
const mostRedirects = 5
/** As long as we wait at most for what asks us to. */
const longestWaitMs = 60_000
/** Requests of one lookup that are under way at once. */
const atOnce = 16

/** What is wrong with an address, if anything. */
export function urlProblem(template: string): string | undefined {
  const urls = ['a', 'b'].map((key) => parseUrl(fill(template, key)))
  const [one, other] = urls
  if (!one || !other || !/^https?:$/.test(one.protocol)) return 'expected an http(s) address'
  if (!template.includes(placeholder)) return `say with ${placeholder} where the key goes`
  if (one.origin !== other.origin) return `${placeholder} may stand in the path or the query only`
  if (one.username !== '' || one.password !== '') return 'credentials stand in the runtime, not in a pipeline'
  return undefined
}

/**
 * One GET for each key. `headers` go to the address's own origin alone. When a server does not answer one of them, those that
 * wait for their turn are not asked: they would not be answered either, and it would take long to say so.
 */
export function httpLookup(
  { url, fields }: { readonly url: string; readonly fields: readonly string[] | undefined },
  headers: Readonly<Record<string, string>>,
): Lookup {
  const free = new Turns(atOnce)
  return (keys) => {
    let away: Unreachable | undefined
    return keys.map((key) =>
      free.take(async () => {
        // As a segment of a path these mean another place.
        if (key === '' || key === '.' || key === '..') {
          return failure('bad_lookup_key', `the key "${key}" cannot stand in an address.`)
        }
        if (away !== undefined) throw away
        try {
          return await ask(new URL(fill(url, key)), fields, headers)
        } catch (error) {
          if (error instanceof Unreachable) away = error
          throw error
        }
      }),
    )
  }
}

/** There was no answer at all. */
class Unreachable extends Retryable {}

async function ask(url: URL, fields: readonly string[] | undefined, headers: Readonly<Record<string, string>>) {
  const signal = AbortSignal.timeout(timeoutMs)
  const { origin } = url
  let at = url
  for (let redirects = 0; redirects <= mostRedirects; redirects++) {
    let response: Response
    try {
      response = await fetch(at, { headers: { accept: 'application/json', ...headers }, redirect: 'manual', signal })
    } catch (error) {
      throw unreachable(origin, error)
    }
    const next = redirectOf(response, at)
    if (next === undefined) return answerOf(response, origin, fields)
    await response.body?.cancel()
    if (next.origin !== origin) {
      return failure('lookup_redirect', `${origin} sends to ${next.origin}; only redirects to itself are followed.`)
    }
    at = next
  }
  return failure('lookup_redirect', `${origin} redirects more than ${mostRedirects} times.`)
}

async function answerOf(response: Response, origin: string, fields: readonly string[] | undefined): Promise<Answer> {
  const { status } = response
  if (status !== 200) await response.body?.cancel()
  if (status === 404 || status === 410 || status === 204) return { found: false }
  if (status === 408 || status === 425 || status === 429 || status >= 500) throw busy(response, origin)
  if (status === 401 || status === 407) {
    throw new Fatal({
      code: 'lookup_unauthorized',
      message: `lookup: ${origin} wants other credentials (${status}).`,
      hint: 'Name them in millrace.yaml, as headers for that origin.',
    })
  }
  if (status !== 200) return failure('lookup_refused', `${origin} answered ${status}.`)
  if (!/^application\/(?:[\w.-]+\+)?json\b/i.test(response.headers.get('content-type') ?? '')) {
    await response.body?.cancel()
    return failure('lookup_not_json', `${origin} answered something else than JSON.`)
  }
  return parsed(await textOf(response, origin), origin, fields)
}

function parsed(text: string | undefined, origin: string, fields: readonly string[] | undefined): Answer {
  if (text === undefined) return failure('lookup_too_large', `${origin} answered more than ${mostBytes} bytes.`)
  try {
    const value: Json = JSON.parse(text)
    if (fields === undefined || !isJsonObject(value)) return { found: true, value }
    const named = fields.flatMap((field) => {
      const content = Object.hasOwn(value, field) ? value[field] : undefined
      return content === undefined ? [] : [[field, content] as const]
    })
    return { found: true, value: Object.fromEntries(named) }
  } catch {
    return failure('lookup_not_json', `${origin} answered something that is no JSON.`)
  }
}

/** Undefined for what is too large; no more than that is read. */
async function textOf(response: Response, origin: string): Promise<string | undefined> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  try {
    for await (const chunk of response.body ?? []) {
      bytes += chunk.length
      if (bytes > mostBytes) return undefined
      chunks.push(chunk)
    }
  } catch (error) {
    throw unreachable(origin, error)
  }
  return Buffer.concat(chunks).toString()
}

function redirectOf(response: Response, from: URL): URL | undefined {
  const location = response.headers.get('location')
  if (location === null || ![301, 302, 303, 307, 308].includes(response.status)) return undefined
  return parseUrl(location, from)
}

function busy(response: Response, origin: string): Retryable {
  const message = `lookup: ${origin} answered ${response.status}.`
  return new Retryable({
    code: 'lookup_unavailable',
    message,
    delayMs: retryAfter(response.headers.get('retry-after')),
  })
}

/** Seconds or a date, in milliseconds from now, bounded. */
function retryAfter(text: string | null): number | undefined {
  if (text === null) return undefined
  const milliseconds = /^\d+$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - Date.now()
  return Number.isNaN(milliseconds) ? undefined : Math.min(longestWaitMs, Math.max(0, milliseconds))
}

function unreachable(origin: string, error: unknown): Unreachable {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
  return new Unreachable({
    code: 'lookup_unavailable',
    message: `lookup: ${origin} did not answer: ${errorMessage(cause) || errorCode(cause)}`,
    cause: error,
  })
}

function failure(code: string, message: string): Failure {
  return { failed: true, code, message }
}

function fill(template: string, key: string): string {
  // Half a surrogate pair has no encoding; UTF-8 has a sign for it.
  const encoded = encodeURIComponent(Buffer.from(key).toString())
  return template.replaceAll(placeholder, () => encoded)
}

function parseUrl(text: string, base?: URL): URL | undefined {
  return URL.canParse(text, base?.href) ? new URL(text, base) : undefined
}

/** So many at once; the others wait for their turn. */
class Turns {
  readonly #waiting: (() => void)[] = []
  #free: number

  constructor(count: number) {
    this.#free = count
  }

  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#free++
    }
  }
}
