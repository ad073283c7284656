import type { Embedder } from '../core/embedder.ts'
import type { Expressions } from '../core/expression.ts'
import type { LiveLog } from '../core/live-log.ts'
import { Channel, type Group } from './channel.ts'
import { ChannelEvent } from './channel-event.ts'
import type { Logger } from './logger.ts'
import { type Matcher, matchAlone } from './matcher.ts'
import { defaultMinScore, type Similar, type Since, type SubscribeOptions } from './protocol.ts'
import { type Connection, Subscription } from './subscription.ts'

export interface HubOptions {
  readonly log: () => Promise<LiveLog>
  readonly embedder: () => Promise<Embedder>
  readonly expressions: Expressions
  readonly logger: Logger
}

interface Entry {
  readonly channel: Promise<Channel>
  readonly stop: AbortController
  users: number
}

/** How far back the last n matching events are looked for. */
const historyEvents = 10_000
const historyPage = 500

/** The channels that someone is subscribed to. Each is read once, while it has subscribers. */
export class Hub {
  readonly #options: HubOptions
  readonly #entries = new Map<string, Entry>()
  readonly #running = new Set<Promise<void>>()

  constructor(options: HubOptions) {
    this.#options = options
  }

  /**
   * A subscription that does not flow yet: it waits for `start`, and every one needs its `close`.
   * Throws `InvalidInput` for an expression that does not compile or a vector of the wrong dimension.
   */
  async subscribe(id: string, name: string, options: SubscribeOptions, connection: Connection): Promise<Subscribed> {
    const { filter, conflate, maxRate, similar, since = 'latest' } = options
    // Compiled before anything is opened: a mistake costs nothing.
    const passes = filter === undefined ? undefined : this.#options.expressions.compile(filter, 'bool')
    const keyOf = conflate === undefined ? undefined : this.#options.expressions.compile(conflate, 'any')
    const vector = similar && (await this.#vector(similar))
    const entry = this.#acquire(name)
    let group: Group | undefined
    try {
      const channel = await entry.channel
      const key = JSON.stringify([filter ?? null, similar ?? null])
      group = channel.join(key, () => makeMatcher(channel, passes, similar, vector))
      const { from, recovered } = await begin(channel, group.matcher, since)
      const subscription = new Subscription({ id, channel, group, from, conflate: keyOf, maxRate }, connection)
      return { subscription, from, recovered, release: () => this.#release(name, entry) }
    } catch (error) {
      if (group) (await entry.channel).leave(group)
      this.#release(name, entry)
      throw error
    }
  }

  /** Resolves when nothing is read any more. */
  async close(): Promise<void> {
    for (const entry of this.#entries.values()) entry.stop.abort()
    this.#entries.clear()
    await Promise.all(this.#running)
  }

  async #vector({ text, vector }: Similar): Promise<Float32Array> {
    if (vector) return Float32Array.from(vector)
    const embedder = await this.#options.embedder()
    const [embedded] = await embedder.embed([text ?? ''], { priority: 'query', purpose: 'query' })
    return embedded ?? new Float32Array(0)
  }

  #acquire(name: string): Entry {
    const known = this.#entries.get(name)
    if (known) {
      known.users++
      return known
    }
    const stop = new AbortController()
    const entry: Entry = { channel: this.#open(name, stop.signal), stop, users: 1 }
    this.#entries.set(name, entry)
    return entry
  }

  async #open(name: string, signal: AbortSignal): Promise<Channel> {
    const log = await this.#options.log()
    const channel = new Channel(name, await log.head(name), log, this.#options.logger)
    const running = channel.run(signal, () => this.#entries.delete(name))
    this.#running.add(running)
    void running.finally(() => this.#running.delete(running))
    return channel
  }

  #release(name: string, entry: Entry): void {
    if (--entry.users > 0) return
    entry.stop.abort()
    if (this.#entries.get(name) === entry) this.#entries.delete(name)
  }
}

export interface Subscribed {
  readonly subscription: Subscription
  /** Offset of the first event that it may be sent. */
  readonly from: number
  readonly recovered: boolean
  /** To be called once, after the subscription's `close`. */
  release(): void
}

function makeMatcher(
  channel: Channel,
  filter: Matcher['filter'],
  similar: Similar | undefined,
  vector: Float32Array | undefined,
): Matcher {
  if (!similar || !vector) return { filter, similar: undefined }
  const query = channel.queries.add(JSON.stringify(similar.text ?? similar.vector), vector)
  return { filter, similar: { query, minScore: similar.minScore ?? defaultMinScore } }
}

/** Where a subscription begins, and whether that is what it asked for. */
async function begin(
  channel: Channel,
  matcher: Matcher,
  since: Since,
): Promise<{ readonly from: number; readonly recovered: boolean }> {
  const head = await channel.log.head(channel.name)
  // The channel may have been handed events already that this head does not know yet.
  const next = Math.max(head.next, channel.next)
  if (since === 'latest') return { from: next, recovered: true }
  if ('last' in since)
    return { from: await lastMatching(channel, matcher, since.last, head.first, next), recovered: true }
  if ('time' in since) return { from: next, recovered: true }
  const from = since.offset + 1
  const recovered = since.epoch === channel.epoch && from >= head.first && from <= next
  return { from: recovered ? from : next, recovered }
}

/** The offset from which `count` events match up to `next`, or as many as are kept and looked at. */
async function lastMatching(channel: Channel, matcher: Matcher, count: number, first: number, next: number) {
  if (count === 0) return next
  if (!matcher.filter && !matcher.similar) return Math.max(first, next - count)
  let found = 0
  let from = next
  const least = Math.max(first, next - historyEvents)
  while (from > least) {
    const start = Math.max(least, from - historyPage)
    const page = (await channel.log.read(channel.name, start, from - start)).filter(({ offset }) => offset < from)
    const events = page.map((event) => new ChannelEvent(channel.name, event))
    const { matched } = matchAlone(matcher, events, channel.queries)
    const wanted = matched.at(-(count - found))
    if (wanted) return wanted.offset
    found += matched.length
    from = start
  }
  return from
}
