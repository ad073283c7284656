import type { Embedder } from '../core/embedder.ts'
import { Retryable } from '../core/errors.ts'
import type { Expressions } from '../core/expression.ts'
import type { LiveLog } from '../core/live-log.ts'
import type { RowFilter } from '../core/principal.ts'
import { Channel, type Group } from './channel.ts'
import { ClientExpressions, type Filter } from './filters.ts'
import type { Gate } from './gate.ts'
import { begin, StaleChannel } from './history.ts'
import type { Logger } from './logger.ts'
import type { Matcher } from './matcher.ts'
import { defaultMinScore, type Similar, type SubscribeOptions } from './protocol.ts'
import { type Connection, Subscription } from './subscription.ts'
import type { Visibility } from './visibility.ts'

export interface HubOptions {
  readonly log: () => Promise<LiveLog>
  readonly embedder: () => Promise<Embedder>
  readonly expressions: Expressions
  readonly logger: Logger
  /** Different texts and vectors that events are compared with, at most. */
  readonly standingQueries: number
}

interface Entry {
  readonly channel: Promise<Channel>
  readonly stop: AbortController
  users: number
}

/** Who subscribes. */
export interface Subscriber {
  /** What it sees of the channel; undefined for everything. */
  readonly rows: RowFilter | undefined
  /** Its texts are embedded a few at a time, so that nobody else's wait for all of them. */
  readonly embeddings: Gate
}

/** The channels that someone is subscribed to. Each is read once, while it has subscribers. */
export class Hub {
  readonly #options: HubOptions
  readonly #expressions: ClientExpressions
  readonly #entries = new Map<string, Entry>()
  readonly #channels = new Set<Channel>()
  readonly #running = new Set<Promise<void>>()

  constructor(options: HubOptions) {
    this.#options = options
    this.#expressions = new ClientExpressions(options.expressions)
  }

  /**
   * A subscription that does not flow yet: it waits for `start`, and every one needs its `close`.
   * Throws `InvalidInput` for an expression that does not compile or a vector of the wrong dimension, and `Retryable`
   * (`too_many_queries`) if events are compared with as many texts and vectors as they can be.
   */
  async subscribe(
    id: string,
    name: string,
    options: SubscribeOptions,
    connection: Connection,
    subscriber: Subscriber,
  ): Promise<Subscribed> {
    const { rows, embeddings } = subscriber
    const { filter, conflate, maxRate, similar, since = 'latest', delta = false } = options
    // Compiled before anything is opened: a mistake costs nothing.
    const passes = filter === undefined ? undefined : this.#expressions.filter(name, filter)
    const keyOf = conflate === undefined ? undefined : this.#expressions.conflateKey(name, conflate)
    const entry = this.#acquire(name)
    let group: Group | undefined
    let visibility: Visibility | undefined
    try {
      const channel = await entry.channel
      this.#demandRoom(channel, similar)
      const vector = similar && (await this.#vector(similar, embeddings))
      visibility = rows && (await channel.rows.open(rows, channel.log, name))
      const key = JSON.stringify([filter ?? null, similar ?? null, rows ?? null])
      group = channel.join(key, () => {
        this.#demandRoom(channel, similar)
        return makeMatcher(channel, passes, similar, vector, visibility)
      })
      const { matcher } = group
      const { from, recovered } = await begin(channel, matcher, since)
      const catchUp = visibility ? { ...matcher, rows: visibility.alone() } : matcher
      // Bases that the client had before are of use only if what follows comes right after them.
      const resumed = recovered && typeof delta === 'object' && typeof since === 'object' && 'offset' in since
      const deltaFrom = resumed ? delta.from : delta === false ? undefined : from
      const settings = { id, channel, group, catchUp, from, deltaFrom, conflate: keyOf, maxRate }
      const subscription = new Subscription(settings, connection)
      const release = () => {
        visibility?.release()
        this.#release(name, entry)
      }
      return { subscription, from, recovered, release }
    } catch (error) {
      if (group) (await entry.channel).leave(group)
      visibility?.release()
      this.#release(name, entry)
      if (!(error instanceof StaleChannel)) throw error
      // Its subscribers are told as soon as it notices; this one need not wait for that.
      this.#forget(name, entry.stop)
      return this.subscribe(id, name, options, connection, subscriber)
    }
  }

  /** Resolves when nothing is read any more. */
  async close(): Promise<void> {
    for (const entry of this.#entries.values()) entry.stop.abort()
    this.#entries.clear()
    await Promise.all(this.#running)
  }

  async #vector({ text, vector }: Similar, embeddings: Gate): Promise<Float32Array> {
    if (vector) return Float32Array.from(vector)
    const embedder = await this.#options.embedder()
    const embedded = await embeddings.pass(() => embedder.embed([text ?? ''], { priority: 'query', purpose: 'query' }))
    return embedded?.[0] ?? new Float32Array(0)
  }

  /** Throws `Retryable` (`too_many_queries`) if there is no place for one more text or vector. */
  #demandRoom({ queries }: Channel, similar: Similar | undefined): void {
    if (!similar || queries.has(queryKey(similar))) return
    let standing = 0
    for (const channel of this.#channels) standing += channel.queries.size
    if (standing < this.#options.standingQueries) return
    throw new Retryable({
      code: 'too_many_queries',
      message: `Events are compared with ${standing} texts and vectors already, which is as many as the server allows.`,
      hint: 'Come back later, or subscribe to a text that others have subscribed to.',
    })
  }

  #acquire(name: string): Entry {
    const known = this.#entries.get(name)
    if (known) {
      known.users++
      return known
    }
    const stop = new AbortController()
    const entry: Entry = { channel: this.#open(name, stop), stop, users: 1 }
    this.#entries.set(name, entry)
    return entry
  }

  async #open(name: string, stop: AbortController): Promise<Channel> {
    const log = await this.#options.log()
    const channel = new Channel(name, await log.head(name), log, this.#options.logger)
    this.#channels.add(channel)
    const running = channel.run(stop.signal, () => this.#forget(name, stop))
    this.#running.add(running)
    void running.finally(() => {
      this.#running.delete(running)
      this.#channels.delete(channel)
    })
    return channel
  }

  /** Whoever subscribes from here on does so to a channel that is read anew. */
  #forget(name: string, stop: AbortController): void {
    if (this.#entries.get(name)?.stop === stop) this.#entries.delete(name)
  }

  #release(name: string, entry: Entry): void {
    if (--entry.users > 0) return
    entry.stop.abort()
    this.#forget(name, entry.stop)
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
  filter: Filter | undefined,
  similar: Similar | undefined,
  vector: Float32Array | undefined,
  visibility: Visibility | undefined,
): Matcher {
  const rows = visibility?.sees
  if (!similar || !vector) return { rows, filter, similar: undefined }
  const query = channel.queries.add(queryKey(similar), vector)
  return { rows, filter, similar: { query, minScore: similar.minScore ?? defaultMinScore } }
}

/** The same for what is compared alike. */
function queryKey({ text, vector }: Similar): string {
  return JSON.stringify(text ?? vector)
}
