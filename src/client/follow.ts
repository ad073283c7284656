import { reconnectDelay } from './backoff.ts'
import { MillraceClientError } from './errors.ts'
import { KnownItems, type Recognition } from './known-items.ts'
import type { Gap, LiveEvent, SubscribeOptions, Subscription } from './subscription.ts'

export type FollowOptions<Item> = Omit<SubscribeOptions, 'since' | 'resume' | 'storage'> &
  Recognition<Item> & {
    /** Loads what the store has now; called again after events were missed. */
    readonly snapshot: (signal: AbortSignal) => Promise<readonly Item[]>
    /**
     * Milliseconds, 60,000 when left out: how far the store may be behind the channel, and this machine's clock ahead of
     * the server's, together.
     */
    readonly overlap?: number | undefined
  }

/** `snapshot`: forget what came before, this is what there is. `event`: an event that is not in it. */
export type Followed<Item, Value> =
  | { readonly type: 'snapshot'; readonly items: readonly Item[] }
  | { readonly type: 'event'; readonly event: LiveEvent<Value> }

const defaultOverlapMs = 60_000
/** A stream that held for so long begins anew at once. */
const steadyMs = 30_000

/**
 * What a store has of a channel's events, and then, in order, each event of the channel that is not in it: none is missed
 * and none repeated, if the store is no further behind the channel than `overlap` and the channel keeps its events for so
 * long. To be iterated once.
 *
 * The channel is subscribed to first, from `overlap` before now, and the snapshot is loaded after that: an event that the
 * snapshot does not have is younger than that, so it is in the stream. After a gap all of it begins anew.
 */
export class Follow<Item, Value> implements AsyncIterable<Followed<Item, Value>> {
  readonly #subscribe: (since: number) => Subscription<Value>
  readonly #options: FollowOptions<Item>
  readonly #closing = new AbortController()
  #subscription: Subscription<Value> | undefined

  /** `subscribe`: to the channel, with what was appended since a time. */
  constructor(subscribe: (since: number) => Subscription<Value>, options: FollowOptions<Item>) {
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
        yield* this.#once(began - (this.#options.overlap ?? defaultOverlapMs))
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
  async *#once(since: number): AsyncGenerator<Followed<Item, Value>, void, undefined> {
    const subscription = this.#subscribe(since)
    this.#subscription = subscription
    let missed = false
    try {
      await subscription.ready()
      subscription.on('gap', (gap) => {
        if (this.#wants(gap)) return
        missed = true
        subscription.close()
      })
      const items = await this.#load()
      if (missed) return
      yield { type: 'snapshot', items }
      const known = new KnownItems(items, this.#options)
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
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, reconnectDelay(attempt))
      this.#closing.signal.addEventListener('abort', () => {
        clearTimeout(timer)
        resolve()
      })
    })
  }
}
