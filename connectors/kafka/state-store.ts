import { Fenced } from '../../src/core/errors.ts'
import type { Json, NewRecord } from '../../src/core/event.ts'
import type { StateChange, StateReader, StateScope, StateStore } from '../../src/core/state.ts'
import { explain, isProducerFenced } from './errors.ts'
import { Serial } from './serial.ts'
import { readerOf, resolve, stateRecord, stateScope, tombstone } from './state-records.ts'
import { Transactor, WriteFailed } from './transactor.ts'
import type { WriterParts } from './writer-parts.ts'

const mostAttempts = 3

/**
 * State of lanes in the compacted topic `millrace.state`. The owner of a scope is whoever has initialised its transactional
 * id last: the brokers refuse what anyone before it still writes. What is alive of a scope is in the memory of its owner.
 */
export class KafkaStateStore implements StateStore {
  readonly #parts: () => Promise<WriterParts>

  constructor(parts: () => Promise<WriterParts>) {
    this.#parts = parts
  }

  async takeOver(scope: string, committed: number): Promise<StateScope> {
    const doing = `taking over the state of ${scope}`
    try {
      const parts = await this.#parts()
      await parts.prepare()
      const name = stateScope('lane', scope)
      const transactor = new Transactor({ ...parts, transactionalId: `millrace-state/${scope}` })
      await transactor.takeOver()
      const { values, undone, deleted } = resolve(await parts.state.read(name), committed)
      const owned = new LaneScope({ parts, transactor, scope, name, committed, values, deleted })
      // What was prepared beyond the position must never count, even if the lane comes to another result now.
      await owned.putBack(undone)
      return owned
    } catch (error) {
      throw explain(error instanceof WriteFailed ? error.cause : error, doing)
    }
  }

  /** The connections belong to the log. */
  async close(): Promise<void> {}
}

interface Owned {
  readonly parts: WriterParts
  readonly transactor: Transactor
  readonly scope: string
  /** The scope as the topic's keys have it. */
  readonly name: string
  readonly committed: number
  readonly values: Map<string, Json>
  /** Deleted keys that have no tombstone yet. */
  readonly deleted: readonly string[]
}

/**
 * A prepare for a later position says that the one before was committed: only what was changed at the latest position can
 * ever have to be undone.
 */
class LaneScope implements StateScope {
  readonly #parts: WriterParts
  readonly #transactor: Transactor
  readonly #scope: string
  readonly #name: string
  readonly #values: Map<string, Json>
  readonly #reader: StateReader
  readonly #serial = new Serial()
  /** What stood before the changes at `#from`. */
  #before = new Map<string, Json | undefined>()
  #from: number
  /** Deleted below `#from`: their tombstones go with the next transaction. */
  #buried: Set<string>
  #lost = false

  constructor({ parts, transactor, scope, name, committed, values, deleted }: Owned) {
    this.#parts = parts
    this.#transactor = transactor
    this.#scope = scope
    this.#name = name
    this.#from = committed
    this.#values = values
    this.#buried = new Set(deleted)
    this.#reader = readerOf(async () => this.#values)
  }

  get(keys: readonly string[]): Promise<(Json | undefined)[]> {
    return this.#reader.get(keys)
  }

  scan(prefix: string): AsyncIterable<readonly [key: string, value: Json]> {
    return this.#reader.scan(prefix)
  }

  async prepare(from: number, changes: readonly StateChange[]): Promise<void> {
    if (changes.length === 0) return
    if (this.#lost) throw this.#fenced()
    await this.#serial.run(() => this.#prepare(from, changes))
  }

  async putBack(keys: readonly string[]): Promise<void> {
    if (keys.length === 0) return
    await this.#write(
      keys.map((key) => {
        const value = this.#values.get(key)
        if (value === undefined) return tombstone(this.#name, key)
        return stateRecord(this.#name, key, { from: this.#from, value, before: undefined })
      }),
    )
  }

  async #prepare(from: number, changes: readonly StateChange[]): Promise<void> {
    if (from > this.#from) {
      for (const key of this.#before.keys()) if (!this.#values.has(key)) this.#buried.add(key)
      this.#before = new Map()
      this.#from = from
    }
    const latest = new Map(changes.map(({ key, value }) => [key, value]))
    const records: NewRecord[] = []
    for (const [key, value] of latest) {
      const before = this.#before.has(key) ? this.#before.get(key) : this.#values.get(key)
      records.push(stateRecord(this.#name, key, { from, value, before }))
    }
    const tombstones = [...this.#buried].filter((key) => !latest.has(key))
    for (const key of tombstones) records.push(tombstone(this.#name, key))
    await this.#write(records)
    this.#buried.clear()
    for (const [key, value] of latest) {
      if (!this.#before.has(key)) this.#before.set(key, this.#values.get(key))
      if (value === undefined) this.#values.delete(key)
      else this.#values.set(key, value)
    }
  }

  /** The same records may be written twice: they say the same. */
  async #write(records: readonly NewRecord[]): Promise<void> {
    const { state } = this.#parts
    const share = { topic: state.name, partition: state.partitionOf(this.#name), records }
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#transactor.write([share])
        return
      } catch (error) {
        await this.#settle(error, attempt >= mostAttempts)
      }
    }
  }

  /** Throws unless the write is worth repeating. */
  async #settle(error: unknown, last: boolean): Promise<void> {
    const doing = `storing the state of ${this.#scope}`
    try {
      if (isProducerFenced(error)) throw error
      if (error instanceof WriteFailed && error.aborted) throw error.cause
      await this.#transactor.recover()
      if (last) throw error instanceof WriteFailed ? error.cause : error
    } catch (failure) {
      if (!isProducerFenced(failure)) throw explain(failure, doing)
      this.#lost = true
      throw this.#fenced(failure)
    }
  }

  #fenced(cause?: unknown): Fenced {
    return new Fenced({
      code: 'fenced',
      message: `the state of ${this.#scope} has gone to another process`,
      cause,
    })
  }
}
