import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Fatal, InvalidInput, Retryable } from '../../src/core/errors.ts'
import type { ChannelHead, LiveEvent, LiveLog, StoredLiveEvent } from '../../src/core/live-log.ts'
import type { Argument, Connection } from './connection.ts'
import { header, storedEvents, vectorBytes } from './live-events.ts'
import { appendScript, headScript, readScript } from './live-scripts.ts'
import { type Wake, Wakes } from './wakes.ts'

export interface LiveLogOptions {
  /** Events kept per channel. Default 100,000. */
  readonly keepEvents?: number | undefined
  /** How long an event is kept, milliseconds. Default 24 hours. */
  readonly keepMs?: number | undefined
}

/** What one call of the script appends, so that no one else waits long for the server; an offset's events stay together. */
const appendEvents = 500
const appendBytes = 1024 * 1024
/** What a follower gets at once, at most, but for the last event, which is whole: it is decoded at a stretch. */
const followBatch = 500
const followBytes = 1024 * 1024
const unlimited = Number.MAX_SAFE_INTEGER
const retryMs = 250
/** Channels of which it is remembered what this process knows of them. */
const rememberedChannels = 10_000

/**
 * The live log on Redis Streams: any number of processes append to a channel and follow it.
 *
 * Redis replicates after it has answered, so a failover can lose the last appends that were acknowledged, the lanes'
 * source offsets with them. Nothing is doubled by that, and every failover begins a new epoch, so that no client takes up a
 * position that now means another event. `WAIT` after each append would make such a loss rarer, not impossible (the replica
 * that has answered need not be the one that is chosen), and cost a round trip to a replica; `min-replicas-to-write` at the
 * server bounds it for all of its users.
 */
export class RedisLiveLog implements LiveLog {
  readonly #connection: Connection
  readonly #keepEvents: number
  readonly #keepMs: number
  readonly #wakes: Wakes
  readonly #closing = new AbortController()
  /** The epochs that this process has told of. A follower goes on in that epoch or not at all. */
  readonly #told = new Map<string, string>()
  /** Channels that are in the list of names. */
  readonly #listed = new Map<string, true>()

  constructor(connection: Connection, { keepEvents = 100_000, keepMs = 24 * 60 * 60 * 1000 }: LiveLogOptions = {}) {
    this.#connection = connection
    this.#keepEvents = keepEvents
    this.#keepMs = keepMs
    this.#wakes = new Wakes(connection)
  }

  async append(channel: string, lane: string, events: readonly LiveEvent[], offsets: readonly number[]): Promise<void> {
    const keys = this.#keys(channel)
    let entries: Argument[] = []
    let bytes = 0
    for (const [index, event] of events.entries()) {
      const json = header(event)
      const vector = vectorBytes(event.vector)
      const offset = offsets[index] ?? 0
      entries.push(offset, json, vector)
      bytes += json.length + vector.length
      const full = entries.length >= appendEvents * 3 || bytes >= appendBytes
      if (index < events.length - 1 && (!full || offsets[index + 1] === offset)) continue
      await this.#append(channel, keys, lane, entries)
      entries = []
      bytes = 0
    }
  }

  async head(channel: string): Promise<ChannelHead> {
    const reply = await this.#connection.run(headScript, this.#keys(channel), [randomUUID()])
    const [epoch, first, next] = Array.isArray(reply) ? reply.map(String) : []
    if (epoch === undefined) throw new Fatal({ code: 'redis_answer', message: 'Redis answered no head of a channel.' })
    remember(this.#told, channel, epoch)
    return { epoch, first: Number(first), next: Number(next) }
  }

  async read(channel: string, from: number, limit: number, bytes = unlimited): Promise<StoredLiveEvent[]> {
    if (limit <= 0) return []
    const [, events] = await this.#readPage(channel, Math.max(0, from), limit, bytes)
    return storedEvents(events)
  }

  /**
   * Ends, besides when the signal fires, when the channel has another epoch than this process last told of. While Redis
   * is away it waits.
   */
  async *follow(channel: string, from: number, signal: AbortSignal): AsyncGenerator<StoredLiveEvent[]> {
    const stop = AbortSignal.any([signal, this.#closing.signal])
    const topic = this.#topic(channel)
    let wake: Wake | undefined
    const onStop = () => wake?.cancel()
    stop.addEventListener('abort', onStop, { once: true })
    this.#wakes.join(topic)
    try {
      let next = from
      let epoch = this.#told.get(channel)
      while (!stop.aborted) {
        wake = this.#wakes.next(topic)
        try {
          epoch ??= (await this.head(channel)).epoch
          const events = await this.#readIn(epoch, channel, next)
          if (events === undefined) return
          const last = events.at(-1)
          if (last === undefined) {
            if (!stop.aborted) await wake.promise
            continue
          }
          next = last.offset + 1
          yield events
        } catch (error) {
          if (!(error instanceof Retryable)) throw error
          await sleep(retryMs, undefined, { signal: stop, ref: false }).catch(() => undefined)
        } finally {
          wake.cancel()
        }
      }
    } finally {
      stop.removeEventListener('abort', onStop)
      this.#wakes.leave(topic)
    }
  }

  async channels(): Promise<readonly string[]> {
    const reply = await this.#connection.text('smembers', [this.#list])
    return Array.isArray(reply) ? reply.map(String) : []
  }

  /** Ends its followers; the connection stays open. */
  async close(): Promise<void> {
    this.#closing.abort()
    this.#wakes.close()
  }

  get #list(): string {
    return `${this.#connection.prefix}:channels`
  }

  #topic(channel: string): string {
    return this.#connection.key('live', channel, 'grown')
  }

  #keys(channel: string): readonly string[] {
    const bytes = Buffer.byteLength(channel)
    if (bytes === 0 || bytes > 1_000) {
      throw new InvalidInput({ code: 'bad_channel_name', message: "a channel's name has 1 to 1,000 bytes" })
    }
    return [this.#connection.key('live', channel, 'channel'), this.#connection.key('live', channel, 'events')]
  }

  async #append(channel: string, keys: readonly string[], lane: string, entries: readonly Argument[]): Promise<void> {
    const settings = [randomUUID(), lane, this.#keepEvents, this.#keepMs, this.#topic(channel)]
    const isFirst = await this.#connection.run(appendScript, keys, [...settings, ...entries])
    if (isFirst !== 1 && this.#listed.has(channel)) return
    await this.#connection.text('sadd', [this.#list, channel])
    remember(this.#listed, channel, true)
  }

  /** Undefined when the channel has another epoch by now. */
  async #readIn(epoch: string, channel: string, from: number): Promise<StoredLiveEvent[] | undefined> {
    const [now, events] = await this.#readPage(channel, from, followBatch, followBytes)
    return String(now) === epoch ? storedEvents(events) : undefined
  }

  /** The epoch, and the events that are in it. */
  async #readPage(channel: string, from: number, limit: number, bytes: number): Promise<readonly unknown[]> {
    const reply = await this.#connection.run(readScript, this.#keys(channel), [from, limit, bytes])
    return Array.isArray(reply) ? reply : []
  }
}

function remember<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key)
  map.set(key, value)
  if (map.size <= rememberedChannels) return
  const oldest = map.keys().next()
  if (oldest.done !== true) map.delete(oldest.value)
}
