import { setMaxListeners } from 'node:events'
import { z } from 'zod'
import type { Purpose } from '../../core/embedder.ts'
import { Retryable } from '../../core/errors.ts'
import type { Work } from '../backend.ts'
import { type Dialect, plainText } from './dialect.ts'
import { estimateTokens } from './estimate.ts'
import { Denied, type HttpServer, Refused } from './http-server.ts'
import type { RateLimit } from './rate-limit.ts'

/** Tries of one request, before who waits for it is told: lanes try again by themselves, and say why they wait. */
const mostTries = 3
const firstDelayMs = 250
/** How long a server is left alone that has served before and does not any more. */
const deniedMs = 10_000
/** Who waits is told at once when the server wants to be left alone for longer. */
export const patienceMs = 5_000
const bytesPerCount = 32
const bytesAround = 4_096

const countsSchema = z.object({ counts: z.array(z.int().nonnegative()) })

/** Requests to the server, each tried until there is an answer, within our limits and the server's. */
export class Requests {
  readonly #server: HttpServer
  readonly #dialect: Dialect
  readonly #limit: RateLimit
  readonly #end = new AbortController()
  #busy: Retryable | undefined
  #computed = 0
  #tokens = 0
  #batches = 0

  constructor(server: HttpServer, dialect: Dialect, limit: RateLimit) {
    this.#server = server
    this.#dialect = dialect
    this.#limit = limit
    // Each request that waits for its next try listens for the end.
    setMaxListeners(0, this.#end.signal)
  }

  get totals() {
    return { computed: this.#computed, tokens: this.#tokens, batches: this.#batches }
  }

  /** What to tell who waits, while the server wants to be left alone for longer than anyone should wait in silence. */
  get refusal(): Retryable | undefined {
    const delayMs = this.#limit.pauseMs(performance.now())
    if (this.#busy === undefined || delayMs <= patienceMs) return undefined
    const { code, message, hint } = this.#busy
    return new Retryable({ code, message, hint, delayMs })
  }

  /**
   * A vector for each text, or undefined for one without direction. Throws `Refused`, `Retryable`, and `Fatal` when
   * there is another model than before.
   */
  async embed(texts: readonly string[], purpose: Purpose, priority: Work['priority']) {
    const estimate = texts.reduce((sum, text) => sum + estimateTokens(text), 0)
    const { vectors, tokens } = await this.#send(() => this.#dialect.embed(texts, purpose, priority), estimate)
    this.#batches++
    this.#computed += texts.length
    this.#tokens += tokens ?? estimate
    return vectors
  }

  /** Whether the server embeds a plain text. Throws like `embed`, but never `Refused`. */
  async prove(): Promise<void> {
    const [vector] = await this.#send(async () => {
      const plain = this.#dialect.prefixes.passage + plainText
      const { vectors } = await this.#dialect.embed([plain], 'passage', 'query').catch((error: unknown) => {
        if (!(error instanceof Refused)) throw error
        const hint = 'It refuses every text: check embedder.model and embedder.dimension.'
        throw new Denied({ code: 'model_unusable', message: error.message, hint })
      })
      return vectors
    }, estimateTokens(plainText))
    if (vector === undefined) throw this.#server.misunderstood('only vectors without a direction')
  }

  /** Of a Millrace server: the tokens in each text. Throws like `embed`. */
  async count(texts: readonly string[]): Promise<number[]> {
    const body = { model: this.#dialect.model, input: texts }
    const mostBytes = bytesAround + texts.length * bytesPerCount
    return await this.#send(async () => {
      const answer = await this.#server.ask({ method: 'POST', path: '/tokens', body, mostBytes })
      const { data } = countsSchema.safeParse(answer)
      if (data?.counts.length !== texts.length) throw this.#server.misunderstood('no count for each text')
      return data.counts
    }, 0)
  }

  /** Ends every request. */
  close(): void {
    this.#end.abort()
    this.#server.close()
  }

  async #send<T>(ask: () => Promise<T>, tokens: number): Promise<T> {
    for (let tries = 1; ; tries++) {
      const { refusal } = this
      if (refusal !== undefined) throw refusal
      await this.#turn(tokens)
      try {
        return await ask()
      } catch (caught) {
        const error = caught instanceof Denied ? passing(caught) : caught
        if (!(error instanceof Retryable)) throw error
        this.#busy = error
        if (error.delayMs !== undefined) this.#limit.pause(error.delayMs, performance.now())
        if (tries === mostTries || (error.delayMs ?? 0) > patienceMs) throw error
        if (error.delayMs === undefined) await this.#sleep(firstDelayMs * 2 ** (tries - 1) * (1 + Math.random()))
      }
    }
  }

  /** Waits until a request of so many tokens may be sent. */
  async #turn(tokens: number): Promise<void> {
    while (!this.#end.signal.aborted) {
      const wait = this.#limit.waitMs(tokens, performance.now())
      if (wait === 0) break
      await this.#sleep(wait)
    }
    this.#limit.sent(tokens, performance.now())
  }

  /** Cut short by the end. */
  async #sleep(milliseconds: number): Promise<void> {
    const { signal } = this.#end
    if (signal.aborted) return
    await new Promise<void>((resolve) => {
      const awake = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', awake)
        resolve()
      }
      const timer = setTimeout(awake, milliseconds)
      signal.addEventListener('abort', awake, { once: true })
    })
  }
}

/** A server that has served before may do so again: a key is replaced, a model or a route comes back. Texts can wait. */
function passing({ message, hint }: Denied): Retryable {
  return new Retryable({ code: 'embedder_unavailable', message, hint, delayMs: deniedMs })
}
