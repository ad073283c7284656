import { reconnectDelay } from './backoff.ts'
import { MillraceClientError } from './errors.ts'
import { KnownItems, type Recognition } from './known-items.ts'
import type { Gap, LiveEvent, SubscribeOptions, Subscription } from './subscription.ts'

export type FollowOptions<Item> = Omit<SubscribeOptions, 'since' | 'resume' | 'storage'> &
  Recognition<Item> & {
    /** Loads what the store has now; called again after events were missed. */
    readonly snapshot: (signal: AbortSignal) => Promise<readonly Item[]>
    /** How far the store may be behind the channel: milliseconds, 60,000 when left out. */
    readonly overlap?: number | undefined
  }

/**
 * `snapshot`: forget what came before, this is what there is. `event`: an event that is not in it. `complete` is false if
 * the channel does not keep its events for as long as `overlap`: what the store has not taken yet may be missing.
 */
export type Followed<Item, Value> =
  | { readonly type: 'snapshot'; readonly items: readonly Item[]; readonly complete: boolean }
  | { readonly type: 'event'; readonly event: LiveEvent<Value> }

export const defaultOverlapMs = 60_000
/** A stream that held for so long begins anew at once. */
const steadyMs = 30_000

/**
 * What a store has of a channel's events, and then, in order, each event of the channel that is not in it: none is missed
 * and none repeated, if the store is no further behind the channel than `overlap` and the channel keeps its events for so
 * long. Iterate it once.
 *
 * The channel is subscribed to first, from `overlap` before now, and the snapshot is loaded after that: an event that the
 * snapshot does not have is younger than that, so it is in the stream. After a gap all of it begins anew.
 */
export class Follow<Item, Value> implements AsyncIterable<Followed<Item, Value>> {
  readonly #subscribe: () => Subscription<Value>
  readonly #options: FollowOptions<Item>
  readonly #closing = new AbortController()
  #subscription: Subscription<Value> | undefined

  constructor(subscribe: () => Subscription<Value>, options: FollowOptions<Item>) {
    this.#subscribe = subscribe
    this.#options = options
  }

  close(): void {
    this.#closing.abort()
    this.#subscription?.close()
  }

  /** Throws what the server refuses the subscription with, and what `snapshot` throws, unless it may pass. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Followed<Item, Value>, void, undefined> {
    try {
      for (let attempt = 0; !this.#closed; attempt++) {
        const began = Date.now()
        yield* this.#once()
        if (Date.now() - began > steadyMs) attempt = 0
        if (!this.#closed) await this.#pause(attempt)
      }
    } catch (error) {
      if (!this.#closed) throw error
    } finally {
      this.close()
    }
  }

  get #closed(): boolean {
    return this.#closing.signal.aborted
  }

  /** Ends after a gap. */
  async *#once(): AsyncGenerator<Followed<Item, Value>, void, undefined> {
    const subscription = this.#subscribe()
    this.#subscription = subscription
    let complete = true
    let began = false
    let missed = false
    try {
      subscription.on('subscribed', ({ recovered }) => {
        complete &&= recovered
        began = true
      })
      // From the start: a gap may come together with the answer. What was there before it is what the snapshot is for.
      subscription.on('gap', (gap) => {
        if (!began || this.#wants(gap)) return
        missed = true
        subscription.close()
      })
      await subscription.ready()
      const items = await this.#load()
      if (missed) return
      const known = new KnownItems(items, this.#options)
      yield { type: 'snapshot', items, complete }
      for await (const event of subscription) {
        if (missed) return
        if (known.isNews(event)) yield { type: 'event', event }
      }
      if (!missed) this.close()
    } finally {
      subscription.close()
    }
  }

  /** What was asked to be left out is not missed. */
  #wants({ reason }: Gap): boolean {
    const { conflate, maxRate } = this.#options
    return (reason === 'conflated' && conflate !== undefined) || (reason === 'sampled' && maxRate !== undefined)
  }

  async #load(): Promise<readonly Item[]> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#options.snapshot(this.#closing.signal)
      } catch (error) {
        if (!(error instanceof MillraceClientError) || !error.passing) throw error
        await this.#pause(attempt)
      }
      this.#closing.signal.throwIfAborted()
    }
  }

  #pause(attempt: number): Promise<void> {
    const { signal } = this.#closing
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, reconnectDelay(attempt))
      signal.addEventListener('abort', done)
    })
  }
}
