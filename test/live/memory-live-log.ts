import { setTimeout as sleep } from 'node:timers/promises'
import type { ChannelHead, LiveEvent, LiveLog, StoredLiveEvent } from '../../src/core/live-log.ts'

interface Stored {
  epoch: string
  first: number
  events: StoredLiveEvent[]
}

/** What processes share. */
interface Shared {
  readonly channels: Map<string, Stored>
  readonly keep: number
  epochs: number
  version: number
  held: Promise<void>
  wake: (() => void)[]
}

/** A live log whose retention and epochs a test controls. */
export class MemoryLiveLog implements LiveLog {
  readonly #shared: Shared
  /** Where this process last was told that channels stand: its followers go on there, or not at all. */
  readonly #told = new Map<string, Stored>()

  /** `keep`: how many events a channel keeps, or another process's log of the same channels. */
  constructor(keep: number | MemoryLiveLog = Number.POSITIVE_INFINITY) {
    const fresh = { channels: new Map(), epochs: 0, version: 0, held: Promise.resolve(), wake: [] }
    this.#shared = typeof keep === 'number' ? { ...fresh, keep } : keep.#shared
  }

  async append(channel: string, _lane: string, events: readonly LiveEvent[]): Promise<void> {
    const stored = this.#stored(channel)
    for (const event of events)
      stored.events.push({ ...event, offset: stored.first + stored.events.length, appended: Date.now() })
    while (stored.events.length > this.#shared.keep) {
      stored.events.shift()
      stored.first++
    }
    this.#notify()
  }

  /** Drops everything: offsets start anew in another epoch, and followers end. */
  restart(channel: string): void {
    this.#shared.channels.delete(channel)
    this.#notify()
  }

  /** Followers get nothing until the answer is called. */
  hold(): () => void {
    let release: () => void = () => undefined
    this.#shared.held = new Promise((resolve) => {
      release = resolve
    })
    return release
  }

  async head(channel: string): Promise<ChannelHead> {
    const stored = this.#stored(channel)
    this.#told.set(channel, stored)
    const { epoch, first, events } = stored
    return { epoch, first, next: first + events.length }
  }

  async read(channel: string, from: number, limit: number): Promise<StoredLiveEvent[]> {
    await sleep(0)
    return page(this.#stored(channel), from, limit)
  }

  async *follow(channel: string, from: number, signal: AbortSignal): AsyncGenerator<StoredLiveEvent[]> {
    const stored = this.#told.get(channel) ?? this.#stored(channel)
    let next = from
    while (!signal.aborted && this.#shared.channels.get(channel) === stored) {
      await this.#shared.held
      const version = this.#shared.version
      await sleep(0)
      // Whatever has taken the channel's place meanwhile: these are of the epoch that is followed.
      const batch = page(stored, next, 1_000)
      const last = batch.at(-1)
      if (last) {
        next = last.offset + 1
        yield batch
        continue
      }
      if (version !== this.#shared.version) continue
      await new Promise<void>((resolve) => {
        const wake = () => {
          signal.removeEventListener('abort', wake)
          resolve()
        }
        this.#shared.wake.push(wake)
        signal.addEventListener('abort', wake)
        if (signal.aborted) wake()
      })
    }
  }

  async channels(): Promise<readonly string[]> {
    return [...this.#shared.channels.keys()]
  }

  async close(): Promise<void> {
    this.#notify()
  }

  #stored(channel: string): Stored {
    const known = this.#shared.channels.get(channel)
    if (known) return known
    const made = { epoch: `epoch-${++this.#shared.epochs}`, first: 0, events: [] }
    this.#shared.channels.set(channel, made)
    return made
  }

  #notify(): void {
    this.#shared.version++
    const waiting = this.#shared.wake
    this.#shared.wake = []
    for (const resolve of waiting) resolve()
  }
}

function page({ first, events }: Stored, from: number, limit: number): StoredLiveEvent[] {
  const start = Math.max(0, from - first)
  return events.slice(start, start + limit)
}
