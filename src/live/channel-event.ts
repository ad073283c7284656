import { isJsonObject, type Json, noHeaders } from '../core/event.ts'
import type { Scope } from '../core/expression.ts'
import type { StoredLiveEvent } from '../core/live-log.ts'
import type { ConflateKey } from './filters.ts'
import { mergePatch } from './merge-patch.ts'

/** The value of an earlier event of the same key. */
export interface Base {
  readonly offset: number
  readonly value: Json
}

/** A delta that saves less than this share is not worth the client's work. */
const leastSaving = 0.25

/** An event on its way to subscribers. What is derived from it is made once, however many there are. */
export class ChannelEvent {
  readonly event: StoredLiveEvent
  readonly #channel: string
  #json: string | undefined
  #scope: Scope | undefined
  #delta: { readonly base: number; readonly json: string | undefined } | undefined
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

  /** The JSON of a `DeltaFrame` without its score; undefined if it cannot be said, or not much shorter, as a change. */
  delta(base: Base): string | undefined {
    if (this.#delta?.base !== base.offset) this.#delta = { base: base.offset, json: this.#deltaFrom(base) }
    return this.#delta.json
  }

  #deltaFrom({ offset: base, value: before }: Base): string | undefined {
    const { offset, id, timestamp, key, value, version } = this.event
    if (!isJsonObject(before) || !isJsonObject(value)) return undefined
    const delta = mergePatch(before, value)
    if (delta === undefined) return undefined
    const json = JSON.stringify({ offset, id, time: timestamp, key, base, delta, version })
    return json.length <= this.json.length * (1 - leastSaving) ? json : undefined
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
  readonly #score: string
  #json: string | undefined
  /** What a delta of it may apply to: the event before it, of those with its key that the group was sent. */
  base: Base | undefined

  constructor(source: ChannelEvent, score: number | undefined) {
    this.source = source
    this.#score = score === undefined ? '' : `,"score":${Math.round(score * 10_000) / 10_000}`
  }

  get offset(): number {
    return this.source.event.offset
  }

  get bytes(): number {
    return this.source.json.length
  }

  /** Whether it may take the place of an earlier event, or a later one its own. */
  get replaces(): boolean {
    const { key, version } = this.source.event
    return key !== null || version !== undefined || this.source.retracts
  }

  get json(): string {
    if (this.#score === '') return this.source.json
    this.#json ??= this.#withScore(this.source.json)
    return this.#json
  }

  /** As a delta, if that pays. */
  get delta(): { readonly base: number; readonly json: string } | undefined {
    const json = this.base && this.source.delta(this.base)
    return this.base && json !== undefined ? { base: this.base.offset, json: this.#withScore(json) } : undefined
  }

  /** For a client that has every event of the group from an offset on. */
  jsonSince(deltaFrom: number | undefined): string {
    if (deltaFrom === undefined || this.base === undefined || this.base.offset < deltaFrom) return this.json
    return this.delta?.json ?? this.json
  }

  #withScore(json: string): string {
    return this.#score === '' ? json : `${json.slice(0, -1)}${this.#score}}`
  }
}
