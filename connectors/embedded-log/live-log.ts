import { randomUUID } from 'node:crypto'
import type { ChannelHead, LiveEvent, LiveLog, StoredLiveEvent } from '../../src/core/live-log.ts'
import { Growth } from './growth.ts'
import { LiveChannels } from './live-channels.ts'
import { openStore, type Store } from './store.ts'

export interface LiveLogOptions {
  /** Events kept per channel. Default 100,000. */
  readonly keepEvents?: number | undefined
  /** How long an event is kept, milliseconds. Default 24 hours. */
  readonly keepMs?: number | undefined
}

/** How many events a follower gets at once, at most. */
const followBatch = 500
/** How often channels that nothing is appended to are trimmed by age. */
const trimEveryMs = 60_000
/** How many events one transaction of such a round removes: none holds appends up. */
const trimStep = 500

/**
 * Opens the live log in `<folder>/live.mdb`, creating it. Several processes may have it open.
 * Throws `Fatal` (`data_read_only`, `data_unusable`, `package_missing`) or `Retryable` (`disk_full`).
 */
export async function openEmbeddedLiveLog(folder: string, options: LiveLogOptions = {}): Promise<LiveLog> {
  const store = await openStore(folder, 'live')
  const table = store.table('meta')
  const key = Buffer.from('epoch')
  // Offsets start anew only with a new file, so one epoch serves all channels, even those without events yet.
  const epoch = await store.writeEssential(() => {
    const known = table.get(key)?.toString()
    if (known !== undefined) return known
    const fresh = randomUUID()
    table.putSync(key, Buffer.from(fresh))
    return fresh
  })
  return new EmbeddedLiveLog(store, epoch, options)
}

class EmbeddedLiveLog implements LiveLog {
  readonly #store: Store
  readonly #epoch: string
  readonly #channels: LiveChannels
  readonly #growth: Growth
  readonly #trimmer: NodeJS.Timeout
  readonly #closing = new AbortController()
  #trimming: Promise<void> | undefined

  constructor(store: Store, epoch: string, { keepEvents = 100_000, keepMs = 24 * 60 * 60 * 1000 }: LiveLogOptions) {
    const growth = new Growth(store)
    this.#store = store
    this.#epoch = epoch
    this.#growth = growth
    this.#channels = new LiveChannels(store, { keepEvents, keepMs })
    store.onCommit({
      finish: () => growth.finish(),
      durable: () => growth.durable(),
      undone: () => growth.undone(),
    })
    this.#trimmer = setInterval(() => {
      this.#trimming ??= this.#trimAll().finally(() => {
        this.#trimming = undefined
      })
    }, trimEveryMs).unref()
  }

  async append(channel: string, lane: string, events: readonly LiveEvent[], offsets: readonly number[]): Promise<void> {
    this.#channels.check(channel)
    if (events.length === 0) return
    const values = events.map((event) => this.#channels.encode(event))
    const bytes = values.reduce((sum, value) => sum + value.length, 0)
    await this.#store.write(bytes, () => {
      const last = this.#channels.advance(channel, lane, offsets.at(-1) ?? -1)
      const fresh = values.filter((_, index) => (offsets[index] ?? 0) > last)
      if (fresh.length === 0) return
      this.#channels.append(channel, fresh)
      this.#channels.trim(channel, fresh.length * 2 + 16)
      this.#growth.touch(channel)
    })
  }

  async head(channel: string): Promise<ChannelHead> {
    this.#store.refresh()
    return { epoch: this.#epoch, ...this.#channels.bounds(channel) }
  }

  async read(channel: string, from: number, limit: number, bytes?: number): Promise<StoredLiveEvent[]> {
    this.#store.refresh()
    return this.#channels.read(channel, from, limit, bytes)
  }

  async *follow(channel: string, from: number, signal: AbortSignal): AsyncGenerator<StoredLiveEvent[]> {
    let next = from
    while (!signal.aborted && !this.#closing.signal.aborted) {
      const wait = this.#growth.wait([channel], signal)
      try {
        const events = await this.read(channel, next, followBatch)
        const last = events.at(-1)
        if (last === undefined) {
          await wait.grown
          continue
        }
        next = last.offset + 1
        yield events
      } finally {
        wait.cancel()
      }
    }
  }

  async channels(): Promise<readonly string[]> {
    this.#store.refresh()
    return this.#channels.names()
  }

  async close(): Promise<void> {
    clearInterval(this.#trimmer)
    this.#closing.abort()
    this.#growth.close()
    await this.#trimming
    await this.#store.close()
  }

  /** A failure, such as a full disk, is met again by the next append, which reports it. */
  async #trimAll(): Promise<void> {
    try {
      this.#store.releaseDeadReaders()
      for (const channel of await this.channels())
        while (!this.#closing.signal.aborted) {
          const removed = await this.#store.writeEssential(() => this.#channels.trim(channel, trimStep))
          if (removed < trimStep) break
        }
    } catch {
      return
    }
  }
}
