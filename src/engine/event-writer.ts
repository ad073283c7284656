import type { EventSink, SinkContext } from '../core/component.ts'
import type { Event } from '../core/event.ts'
import type { DeadLetter } from './dead-letters.ts'
import { type RetryOptions, retry } from './retry.ts'

export interface EventWriterOptions {
  readonly component: string
  readonly sink: EventSink
  readonly context: SinkContext
  readonly retry: RetryOptions
  readonly accepted: (events: readonly Event[], seconds: number) => void
  readonly rejected: (letters: readonly DeadLetter[]) => void
}

const largestWrite = 2_000

/**
 * Hands the events of one lane to one sink in order, one write in flight. What comes in meanwhile goes into the next
 * write, so a slow store sees fewer and larger ones. Its queue is bounded by the lane, which reads no further while
 * too much is not yet committed.
 */
export class EventWriter {
  readonly #options: EventWriterOptions
  #waiting: Event[] = []
  /** Everything below this offset is in `#waiting` or written. */
  #handedIn: number
  /** Everything below this offset is written. */
  #written: number
  #reached: { readonly offset: number; readonly resolve: () => void }[] = []
  #wake: (() => void) | undefined

  constructor(from: number, options: EventWriterOptions) {
    this.#options = options
    this.#handedIn = from
    this.#written = from
  }

  /** The next events; with them, everything below `to` has been handed in. */
  push(events: readonly Event[], to: number): void {
    for (const event of events) this.#waiting.push(event)
    this.#handedIn = to
    this.#wake?.()
  }

  /** Resolves once everything below the offset is accepted or rejected by the sink. */
  reached(offset: number): Promise<void> {
    if (this.#written >= offset) return Promise.resolve()
    return new Promise((resolve) => this.#reached.push({ offset, resolve }))
  }

  /** Writes until the signal fires. Throws what the sink throws when it is final. */
  async run(signal: AbortSignal): Promise<void> {
    const wake = () => this.#wake?.()
    signal.addEventListener('abort', wake)
    try {
      while (!signal.aborted) {
        if (this.#waiting.length > 0) await this.#writeSome()
        else if (this.#written < this.#handedIn) this.#advance(this.#handedIn)
        else await this.#somethingToDo()
      }
    } finally {
      signal.removeEventListener('abort', wake)
    }
  }

  async #somethingToDo(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    this.#wake = undefined
  }

  async #writeSome(): Promise<void> {
    const { sink, context, component, accepted, rejected } = this.#options
    const events = this.#take()
    const upTo = this.#waiting[0]?.position.offset ?? this.#handedIn
    const started = performance.now()
    const rejections = await retry(() => sink.write(events, context), this.#options.retry)
    const bad = new Set(rejections.map(({ index }) => index))
    rejected(
      rejections.flatMap(({ index, code, message }) => {
        const event = events[index]
        return event ? [{ offset: event.position.offset, component, code, message }] : []
      }),
    )
    accepted(
      bad.size === 0 ? events : events.filter((_, index) => !bad.has(index)),
      (performance.now() - started) / 1000,
    )
    this.#advance(upTo)
  }

  /** Up to `largestWrite` events, and the rest of the last one's offset: events of one offset are written together. */
  #take(): Event[] {
    let end = Math.min(largestWrite, this.#waiting.length)
    const last = this.#waiting[end - 1]?.position.offset
    while (end < this.#waiting.length && this.#waiting[end]?.position.offset === last) end++
    if (end === this.#waiting.length) {
      const all = this.#waiting
      this.#waiting = []
      return all
    }
    return this.#waiting.splice(0, end)
  }

  #advance(to: number): void {
    this.#written = to
    const due = this.#reached.filter(({ offset }) => offset <= to)
    this.#reached = this.#reached.filter(({ offset }) => offset > to)
    for (const { resolve } of due) resolve()
  }
}
