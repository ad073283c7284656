import type { Purpose } from '../../core/embedder.ts'
import { InvalidInput } from '../../core/errors.ts'
import type { Backend, BackendStats, Work } from '../backend.ts'
import type { Warn } from '../warn.ts'
import type { Dialect } from './dialect.ts'
import { cutToTokens, estimateTokens } from './estimate.ts'
import { type HttpServer, Refused } from './http-server.ts'
import { type MinuteLimits, RateLimit } from './rate-limit.ts'
import { RequestSize } from './request-size.ts'
import { Requests } from './requests.ts'
import { type Waiting, WaitingTexts } from './waiting.ts'

export interface RemoteBackendOptions extends MinuteLimits {
  readonly batch: number
  readonly batchTokens: number
  readonly concurrency: number
  readonly warn?: Warn | undefined
}

type Priority = Work['priority']

/** So many requests of queries are sent in front of bulk work that waits. */
const mostPassed = 4
const mostCountCharacters = 2 ** 20
/** A text that is refused for its length is halved so far, in estimated tokens: every model takes as much. */
const leastTokens = 64

/** Gathers texts to requests, settles each of them, and finds the one that is to blame when a request is refused. */
export class RemoteBackend implements Backend {
  readonly model: string
  readonly fingerprint: string
  readonly dimension: number
  readonly maxTokens: number
  readonly prefixes: Readonly<Record<Purpose, string>>
  readonly #server: HttpServer
  readonly #requests: Requests
  readonly #countsThere: boolean
  readonly #options: RemoteBackendOptions
  readonly #limit: RateLimit
  readonly #mostTokens: number
  readonly #size: RequestSize
  readonly #waiting: Readonly<Record<Priority, WaitingTexts>> = { query: new WaitingTexts(), bulk: new WaitingTexts() }
  readonly #underWay = { query: 0, bulk: 0 }
  readonly #running = new Set<Promise<void>>()
  #passed = 0
  #truncated = 0
  #closed = false
  #wakes: NodeJS.Immediate | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(server: HttpServer, dialect: Dialect, options: RemoteBackendOptions) {
    this.model = dialect.model
    this.fingerprint = dialect.fingerprint
    this.dimension = dialect.dimension
    this.maxTokens = dialect.maxTokens
    this.prefixes = dialect.prefixes
    this.#countsThere = dialect.millrace
    this.#server = server
    this.#options = options
    this.#limit = new RateLimit(options)
    this.#requests = new Requests(server, dialect, this.#limit)
    this.#mostTokens = Math.min(options.batchTokens, this.#limit.tokensAtOnce)
    this.#size = new RequestSize(this.#mostTokens)
  }

  submit(work: Work): void {
    const purpose = this.#purposeOf(work.text)
    this.#waiting[work.priority].add({ work, purpose, tokens: estimateTokens(work.text) })
    this.#wake()
  }

  hurry(work: Work): void {
    const waiting = this.#waiting.bulk.remove(work)
    if (waiting === undefined) return
    this.#waiting.query.add(waiting)
    this.#wake()
  }

  async countTokens(texts: readonly string[], signal: AbortSignal): Promise<number[]> {
    if (!this.#countsThere) return texts.map(estimateTokens)
    const counts: number[] = []
    for (const part of parts(texts, this.#options.batch)) {
      signal.throwIfAborted()
      counts.push(...(await this.#requests.count(part)))
    }
    return counts
  }

  stats(): BackendStats {
    const { concurrency } = this.#options
    return { ...this.#requests.totals, truncated: this.#truncated, threads: concurrency, restarts: 0 }
  }

  /** Requests that are under way are ended: nobody wants what they hold any more. */
  async close(): Promise<void> {
    this.#closed = true
    clearImmediate(this.#wakes)
    clearTimeout(this.#timer)
    this.#requests.close()
    await Promise.all(this.#running)
  }

  /** By the prefix that stands before the text. If both fit, both make the same text. */
  #purposeOf(text: string): Purpose {
    const { query, passage } = this.prefixes
    return text.startsWith(passage) && !(query.length > passage.length && text.startsWith(query)) ? 'passage' : 'query'
  }

  /** At the end of the turn, so that what is submitted together is sent together. */
  #wake(): void {
    if (this.#closed) return
    this.#wakes ??= setImmediate(() => {
      this.#wakes = undefined
      this.#dispatch()
    })
  }

  #dispatch(): void {
    clearTimeout(this.#timer)
    for (let priority = this.#next(); priority !== undefined; priority = this.#next()) {
      const { refusal } = this.#requests
      if (refusal !== undefined) {
        for (const queue of Object.values(this.#waiting)) failAll(queue.drain(), refusal)
        return
      }
      const queue = this.#waiting[priority]
      const tokens = priority === 'bulk' ? this.#size.tokens : this.#mostTokens
      const wait = this.#limit.waitMs(Math.min(tokens, queue.tokens), performance.now())
      if (wait > 0) {
        this.#timer = setTimeout(() => this.#dispatch(), wait)
        return
      }
      const batch = queue.take(this.#options.batch, tokens)
      if (batch.length > 0) this.#start(batch, priority)
    }
  }

  /**
   * Whose turn it is. Queries come first, but every fifth request is bulk work if some waits; and one request is kept
   * free for queries. Bulk work that fills no request gathers while another one is under way.
   */
  #next(): Priority | undefined {
    const { concurrency, batch } = this.#options
    const { query, bulk } = this.#waiting
    if (this.#closed || this.#underWay.query + this.#underWay.bulk >= concurrency) return undefined
    const full = bulk.size >= batch || bulk.tokens >= this.#size.tokens
    const free = this.#underWay.bulk === 0 || (full && this.#underWay.bulk < concurrency - 1)
    const bulkMay = bulk.size > 0 && free
    if (query.size === 0) return bulkMay ? 'bulk' : undefined
    return bulkMay && this.#passed >= mostPassed ? 'bulk' : 'query'
  }

  #start(batch: readonly Waiting[], priority: Priority): void {
    if (priority === 'bulk') this.#passed = 0
    else if (this.#waiting.bulk.size > 0) this.#passed++
    const full = this.#waiting.bulk.size > 0 && batch.length < this.#options.batch
    const began = performance.now()
    this.#underWay[priority]++
    const run = this.#run(batch, priority).finally(() => {
      if (priority === 'bulk') this.#size.took(performance.now() - began, full)
      this.#underWay[priority]--
      this.#running.delete(run)
      this.#dispatch()
    })
    this.#running.add(run)
  }

  /** Settles every text of a batch. */
  async #run(batch: readonly Waiting[], priority: Priority): Promise<void> {
    const [first] = batch
    if (first === undefined) return
    try {
      const texts = batch.map(({ work }) => work.text)
      const vectors = await this.#requests.embed(texts, first.purpose, priority)
      await this.#settle(batch, vectors)
    } catch (error) {
      if (!(error instanceof Refused)) return failAll(batch, error)
      if (batch.length === 1) return this.#refused(first, priority, error)
      const middle = Math.ceil(batch.length / 2)
      await this.#run(stillWanted(batch.slice(0, middle)), priority)
      await this.#run(stillWanted(batch.slice(middle)), priority)
    }
  }

  async #settle(batch: readonly Waiting[], vectors: readonly (Float32Array | undefined)[]): Promise<void> {
    const without: Waiting[] = []
    for (const [index, waiting] of batch.entries()) {
      const vector = vectors[index]
      if (vector === undefined) without.push(waiting)
      else waiting.work.done(vector)
    }
    const why = `${this.#server.name} answered a vector without a direction`
    for (const waiting of without) await this.#blame(waiting, why)
  }

  /**
   * A text that may be too long is tried without its end, as a model in this process would have it: what OpenAI's models
   * take, and half of that again and again while the server says that it is too long still.
   */
  async #refused(waiting: Waiting, priority: Priority, refused: Refused): Promise<void> {
    const { work, tokens, purpose } = waiting
    let last = refused
    for (let most = tokens > this.maxTokens ? this.maxTokens : tokens / 2; most >= leastTokens; most /= 2) {
      if (most < this.maxTokens && !last.tooLong) break
      try {
        const [vector] = await this.#requests.embed([cutToTokens(work.text, most)], purpose, priority)
        if (vector === undefined) return await this.#blame(waiting, last.message)
        this.#countTruncated()
        return work.done(vector)
      } catch (error) {
        if (!(error instanceof Refused)) return failAll([waiting], error)
        last = error
      }
    }
    await this.#blame(waiting, last.message)
  }

  #countTruncated(): void {
    this.#truncated++
    if (this.#truncated > 1) return
    this.#options.warn?.(`of texts that are too long for ${this.#server.name}, only the beginning is embedded`, {})
  }

  /** Only a server that still embeds a plain text proves that it is this one which cannot be embedded. */
  async #blame({ work }: Waiting, why: string): Promise<void> {
    try {
      await this.#requests.prove()
      const message = `A text of ${work.text.length} characters cannot be embedded: ${why}`
      work.failed(new InvalidInput({ code: 'text_not_embeddable', message }))
    } catch (error) {
      work.failed(asError(error))
    }
  }
}

function stillWanted(batch: readonly Waiting[]): Waiting[] {
  return batch.filter(({ work }) => {
    if (work.wanted()) return true
    work.dropped()
    return false
  })
}

/** Texts in parts of no more than so many, and of characters that fit a request. */
function* parts(texts: readonly string[], most: number): Generator<readonly string[]> {
  let part: string[] = []
  let characters = 0
  for (const text of texts) {
    if (part.length === most || (part.length > 0 && characters + text.length > mostCountCharacters)) {
      yield part
      part = []
      characters = 0
    }
    part.push(text)
    characters += text.length
  }
  if (part.length > 0) yield part
}

function failAll(batch: readonly Waiting[], error: unknown): void {
  for (const { work } of batch) work.failed(asError(error))
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
