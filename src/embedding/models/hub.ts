import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { errorMessage, Fatal, MillraceError, Retryable } from '../../core/errors.ts'

export interface HubOptions {
  /** Such as `https://huggingface.co`. */
  readonly url: string
  readonly token?: string | undefined
}

/** A model on the hub: `owner/name` at a branch, a tag or a commit. */
export interface HubName {
  readonly owner: string
  readonly name: string
  readonly revision: string
}

/** A file as the hub lists it. */
export interface HubFile {
  readonly path: string
  readonly bytes?: number | undefined
  /** In hex; hubs have it of large files only. */
  readonly sha256?: string | undefined
}

/** A file that is being read. */
export interface Download {
  /** Where the body begins in the file: at the byte that was asked for, or at 0. */
  readonly from: number
  /** Of the whole file. */
  readonly bytes: number | undefined
  readonly sha256: string | undefined
  readonly body: AsyncIterable<Uint8Array>
}

/** How often a request is tried, and how long the first pause is; each next one is twice as long. */
const tries = 5
const firstPauseMs = 500
/** A server that sends nothing for so long is lost. */
const silenceMs = 60_000
const mostRedirects = 5

const listingSchema = z.object({
  sha: z.string().optional(),
  siblings: z.array(
    z.object({
      rfilename: z.string(),
      size: z.number().nullish(),
      lfs: z.object({ sha256: z.string().nullish() }).nullish(),
    }),
  ),
})

class Refused extends Error {
  readonly status: number

  constructor(status: number) {
    super(`HTTP ${status}`)
    this.status = status
  }
}

/** One model of a hub, over HTTP. The token goes to the hub alone, never to where it redirects. */
export class Hub {
  readonly #url: string
  readonly #token: string | undefined
  readonly #model: HubName
  readonly #folder: string
  readonly #signal: AbortSignal

  /** `folder`: where the model will lie, for advice. */
  constructor({ url, token }: HubOptions, model: HubName, folder: string, signal: AbortSignal) {
    this.#url = url.replace(/\/+$/, '')
    this.#token = token
    this.#model = model
    this.#folder = folder
    this.#signal = signal
  }

  /**
   * The files of the model, and the commit that they are of. Undefined when the hub has no such list, as mirrors may
   * not. Throws `Retryable` (`hub_unreachable`), and `Fatal` (`model_unusable`) when the hub refuses.
   */
  async list(): Promise<{ readonly files: readonly HubFile[]; readonly revision: string } | undefined> {
    const { owner, name, revision } = this.#model
    const path = `/api/models/${owner}/${name}/revision/${encodeURIComponent(revision)}?blobs=true`
    const answer = await this.retried(async () => {
      const found = await this.#get(path)
      return found === undefined ? undefined : await readJson(found)
    })
    const { data } = listingSchema.safeParse(answer)
    if (data === undefined) return undefined
    const files = data.siblings.map(({ rfilename, size, lfs }): HubFile => {
      return { path: rfilename, bytes: size ?? undefined, sha256: lfs?.sha256 ?? undefined }
    })
    return { files, revision: data.sha ?? revision }
  }

  /** Begins to read a file at a byte, in one try: for `retried`. Undefined when there is no such file. */
  async open(path: string, revision: string, from: number): Promise<Download | undefined> {
    const { owner, name } = this.#model
    const address = `/${owner}/${name}/resolve/${encodeURIComponent(revision)}/${path}`
    const found = await this.#get(address, from)
    if (found === undefined) return undefined
    const { response, sha256, body } = found
    const range = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')
    const begins = response.status === 206 && range !== null ? Number(range[1]) : 0
    const length = response.headers.get('content-length')
    const encoded = response.headers.has('content-encoding')
    return { from: begins, bytes: length === null || encoded ? undefined : begins + Number(length), sha256, body }
  }

  /**
   * Tries again, after a pause that grows, what failed for a reason that may pass. An attempt that says it got on has
   * all its tries again.
   */
  async retried<T>(attempt: (gotOn: () => void) => Promise<T>): Promise<T> {
    let failures = 0
    const gotOn = () => {
      failures = 0
    }
    for (;;) {
      try {
        return await attempt(gotOn)
      } catch (error) {
        this.#signal.throwIfAborted()
        if (error instanceof MillraceError) throw error
        if (error instanceof Refused && !mayPass(error.status)) throw this.#refusal(error.status)
        failures++
        if (failures === tries) throw this.#unreachable(error)
        const pauseMs = firstPauseMs * 2 ** (failures - 1) * (0.75 + Math.random() / 2)
        await delay(pauseMs, undefined, { signal: this.#signal })
      }
    }
  }

  /** The error for a model, or a revision, that the hub does not have. */
  notFound(): Fatal {
    const { owner, name, revision } = this.#model
    return new Fatal({
      code: 'model_unusable',
      message: `the hub ${this.#url} has no model ${owner}/${name} at "${revision}"`,
      hint: 'check the name: owner/name, or owner/name@revision, as the hub shows it',
    })
  }

  /** The answer after all redirects; undefined for 404. */
  async #get(path: string, from = 0): Promise<Found | undefined> {
    const watch = new Watch(this.#signal)
    const headers = { 'accept-encoding': 'identity', ...(from > 0 && { range: `bytes=${from}-` }) }
    let url = new URL(this.#url + path)
    let sha256: string | undefined
    for (let left = mostRedirects; left >= 0; left--) {
      const authorization = this.#token !== undefined && url.origin === new URL(this.#url).origin
      const response = await fetch(url, {
        headers: { ...headers, ...(authorization && { authorization: `Bearer ${this.#token}` }) },
        redirect: 'manual',
        signal: watch.signal,
      })
      watch.heard()
      sha256 ??= sha256In(response.headers)
      if (response.ok && response.body !== null) return { response, sha256, body: watch.through(response.body) }
      await response.body?.cancel()
      const location = response.headers.get('location')
      if (response.status < 300 || response.status >= 400 || location === null) {
        if (response.status === 404) return undefined
        // There is nothing behind that byte: what was read before it is of something else.
        if (response.status === 416 && from > 0) return await this.#get(path)
        throw new Refused(response.status)
      }
      url = new URL(location, url)
    }
    throw new Error(`more than ${mostRedirects} redirects`)
  }

  #refusal(status: number): Fatal {
    const { owner, name } = this.#model
    const asked = `the hub ${this.#url} does not give out the model ${owner}/${name} (HTTP ${status})`
    if (status !== 401 && status !== 403) return new Fatal({ code: 'model_unusable', message: `${asked}.` })
    const token = this.#token === undefined ? 'set embedder.hub.token (HF_TOKEN) to' : 'see that embedder.hub.token is'
    return new Fatal({
      code: 'model_unusable',
      message: `${asked}: there is none of this name, or it is not open to everyone`,
      hint: `check the name, and ${token} a token that may read it`,
    })
  }

  #unreachable(error: unknown): Retryable {
    const { owner, name } = this.#model
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
    return new Retryable({
      code: 'hub_unreachable',
      message: `the model ${owner}/${name} cannot be downloaded from ${this.#url}: ${errorMessage(cause) || 'no connection'}`,
      hint: `check the network and embedder.hub.url, or copy the model's files to ${this.#folder} by hand`,
      cause: error,
    })
  }
}

interface Found {
  readonly response: Response
  readonly sha256: string | undefined
  readonly body: AsyncIterable<Uint8Array>
}

/** Ends a request when its server has sent nothing for a while. */
class Watch {
  readonly signal: AbortSignal
  readonly #silence = new AbortController()
  readonly #timer: NodeJS.Timeout

  constructor(signal: AbortSignal) {
    this.signal = AbortSignal.any([signal, this.#silence.signal])
    this.#timer = setTimeout(() => {
      this.#silence.abort(new Error(`nothing was heard for ${silenceMs / 1_000} s`))
    }, silenceMs).unref()
  }

  heard(): void {
    this.#timer.refresh()
  }

  async *through(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of body) {
      this.heard()
      yield chunk
    }
  }
}

/** The checksum of a large file; what else stands there is an identity of another kind. */
function sha256In(headers: Headers): string | undefined {
  const tag = headers.get('x-linked-etag') ?? headers.get('etag') ?? ''
  return /^(?:W\/)?"?([0-9a-f]{64})"?$/.exec(tag)?.[1]
}

async function readJson({ body }: Found): Promise<unknown> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch {
    return undefined
  }
}

function mayPass(status: number): boolean {
  return status >= 500 || [408, 425, 429].includes(status)
}
