import { setTimeout as sleep } from 'node:timers/promises'
import type { ChannelHead, LiveEvent, LiveLog, StoredLiveEvent } from '../../src/core/live-log.ts'

interface Stored {
  epoch: string
  first: number
  events: StoredLiveEvent[]
}

/** A live log whose retention and epochs a test controls. */
export class MemoryLiveLog implements LiveLog {
  readonly #channels = new Map<string, Stored>()
  readonly #keep: number
  #epochs = 0
  #version = 0
  #held: Promise<void> = Promise.resolve()
  #wake: (() => void)[] = []

  constructor(keep = Number.POSITIVE_INFINITY) {
    this.#keep = keep
  }

  async append(channel: string, _lane: string, events: readonly LiveEvent[]): Promise<void> {
    const stored = this.#stored(channel)
    for (const event of events)
      stored.events.push({ ...event, offset: stored.first + stored.events.length, appended: Date.now() })
    while (stored.events.length > this.#keep) {
      stored.events.shift()
      stored.first++
    }
    this.#notify()
  }

  /** Drops everything: offsets start anew in another epoch, and followers end. */
  restart(channel: string): void {
    this.#channels.delete(channel)
    this.#notify()
  }

  /** Followers get nothing until the answer is called. */
  hold(): () => void {
    let release: () => void = () => undefined
    this.#held = new Promise((resolve) => {
      release = resolve
    })
    return release
  }

  async head(channel: string): Promise<ChannelHead> {
    const { epoch, first, events } = this.#stored(channel)
    return { epoch, first, next: first + events.length }
  }

  async read(channel: string, from: number, limit: number): Promise<StoredLiveEvent[]> {
    await sleep(0)
    const { first, events } = this.#stored(channel)
    const start = Math.max(0, from - first)
    return events.slice(start, start + limit)
  }

  async *follow(channel: string, from: number, signal: AbortSignal): AsyncGenerator<StoredLiveEvent[]> {
    const stored = this.#stored(channel)
    let next = from
    while (!signal.aborted && this.#channels.get(channel) === stored) {
      await this.#held
      const version = this.#version
      const batch = await this.read(channel, next, 1_000)
      const last = batch.at(-1)
      if (last) {
        next = last.offset + 1
        yield batch
        continue
      }
      if (version !== this.#version) continue
      await new Promise<void>((resolve) => {
        const wake = () => {
          signal.removeEventListener('abort', wake)
          resolve()
        }
        this.#wake.push(wake)
        signal.addEventListener('abort', wake)
        if (signal.aborted) wake()
      })
    }
  }

  async channels(): Promise<readonly string[]> {
    return [...this.#channels.keys()]
  }

  async close(): Promise<void> {
    this.#notify()
  }

  #stored(channel: string): Stored {
    const known = this.#channels.get(channel)
    if (known) return known
    const made = { epoch: `epoch-${++this.#epochs}`, first: 0, events: [] }
    this.#channels.set(channel, made)
    return made
  }

  #notify(): void {
    this.#version++
    const waiting = this.#wake
    this.#wake = []
    for (const resolve of waiting) resolve()
  }
}
