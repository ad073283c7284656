import { noHeaders } from '../core/event.ts'
import type { Scope } from '../core/expression.ts'
import type { StoredLiveEvent } from '../core/live-log.ts'
import type { ConflateKey } from './filters.ts'

/** An event on its way to subscribers. What is derived from it is made once, however many there are. */
export class ChannelEvent {
  readonly event: StoredLiveEvent
  readonly #channel: string
  #json: string | undefined
  #scope: Scope | undefined
  #conflateKeys: Map<ConflateKey, string | null> | undefined

  constructor(channel: string, event: StoredLiveEvent) {
    this.event = event
    this.#channel = channel
  }

  /** Retracts what was sent under its id. It passes every filter, for nobody knows who has seen the event. */
  get retracts(): boolean {
    return this.event.value === null
  }

  /** What standing queries are compared with. A retraction is for everyone. */
  get vector(): Float32Array | undefined {
    return this.retracts ? undefined : this.event.vector
  }

  /** The JSON of an `EventFrame` without its score. */
  get json(): string {
    const { offset, id, timestamp, key, value, version } = this.event
    this.#json ??= JSON.stringify({ offset, id, time: timestamp, key, value, version })
    return this.#json
  }

  get scope(): Scope {
    const { value, key, timestamp, offset } = this.event
    const position = { topic: this.#channel, partition: 0, offset }
    this.#scope ??= { value, key, headers: noHeaders, timestamp, position }
    return this.#scope
  }

  /** The expression's result as JSON; null where it fails. */
  conflateKey(expression: ConflateKey): string | null {
    this.#conflateKeys ??= new Map()
    const known = this.#conflateKeys.get(expression)
    if (known !== undefined) return known
    const result = expression.evaluate(this)
    const key = result === undefined ? null : JSON.stringify(result)
    this.#conflateKeys.set(expression, key)
    return key
  }
}

/** An event that a subscription asked for, with its score if it was compared. */
export class Matched {
  readonly source: ChannelEvent
  readonly #score: number | undefined
  #json: string | undefined

  constructor(source: ChannelEvent, score: number | undefined) {
    this.source = source
    this.#score = score
  }

  get offset(): number {
    return this.source.event.offset
  }

  get bytes(): number {
    return this.source.json.length
  }

  get json(): string {
    if (this.#score === undefined) return this.source.json
    this.#json ??= `${this.source.json.slice(0, -1)},"score":${Math.round(this.#score * 10_000) / 10_000}}`
    return this.#json
  }
}
