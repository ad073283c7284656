import { randomUUID } from 'node:crypto'
import { Fenced, Retryable } from '../../src/core/errors.ts'
import type { Json, NewRecord } from '../../src/core/event.ts'
import type { AppendOptions } from '../../src/core/event-log.ts'
import type { StateChange } from '../../src/core/state.ts'
import { explain, isProducerFenced } from './errors.ts'
import { encodeKey } from './internal-topic.ts'
import { Serial } from './serial.ts'
import { resolve, stateRecord, stateScope, tombstone } from './state-records.ts'
import { type Share, Transactor, WriteFailed } from './transactor.ts'
import type { WriterParts } from './writer-parts.ts'

const mostAttempts = 5
/** Below all others. */
const noSequence = Number.MIN_SAFE_INTEGER

/** What the topic of sequences holds for a producer and a topic. */
interface Last {
  readonly sequence: number
  /** Names the transaction that wrote this. */
  readonly transaction: string
}

export interface ExactAppend {
  readonly topic: string
  /** The records by partition, once it is known how many of the first ones are left out. */
  readonly shares: (leftOut: number) => readonly Share[]
  /** All records. The same array again is the same append again. */
  readonly records: readonly NewRecord[]
  readonly once: AppendOptions['once']
  readonly state: AppendOptions['state']
}

/** A write whose commit was asked for and not answered. */
interface Unsettled {
  readonly append: ExactAppend
  readonly transaction: string
  readonly offsets: number[][]
}

/**
 * Appends of one producer, or of the owner of one scope: the records, the producer's last sequence and the changes of
 * state become durable in one transaction.
 *
 * With `once` every write is: fence whoever wrote under the name, read the last sequence, write what is new. Whoever is
 * fenced does so again from the beginning, so two that use one name at the same time cannot double or lose anything.
 * Without, whoever is fenced has lost the scope until its state is read again.
 */
export class ExactProducer {
  readonly #parts: WriterParts
  readonly #name: string
  readonly #scope: string | undefined
  readonly #transactor: Transactor
  readonly #serial = new Serial()
  #state: 'new' | 'ready' | 'unsettled' | 'lost' = 'new'
  #last = new Map<string, Last>()
  #values = new Map<string, Json>()
  #loaded = false
  #unsettled: Unsettled | undefined
  /** The last one that has turned out to be stored: whoever repeats it has it. */
  #settled: Unsettled | undefined
  used = Date.now()

  /** `scope`: the producer is the scope's owner, and reads its state. */
  constructor(parts: WriterParts, name: string, scope?: string) {
    this.#parts = parts
    this.#name = name
    this.#scope = scope
    this.#transactor = new Transactor({ ...parts, transactionalId: `millrace-${name}` })
  }

  get busy(): boolean {
    return this.#serial.busy
  }

  /** Waits for what was submitted. */
  async idle(): Promise<void> {
    await this.#serial.run(async () => undefined)
  }

  /** The offsets of each share's records; `undefined` if there was nothing new. */
  append(append: ExactAppend): Promise<number[][] | undefined> {
    this.used = Date.now()
    return this.#serial.run(() => this.#append(append))
  }

  /** The state of the scope, which this process owns from then on. */
  values(): Promise<ReadonlyMap<string, Json>> {
    this.used = Date.now()
    return this.#serial.run(async () => {
      if (this.#state === 'lost') this.#state = 'new'
      await this.#begin()
      if (!this.#loaded && this.#scope !== undefined) {
        this.#values = resolve(await this.#parts.state.read(stateScope('append', this.#scope)), 0).values
        this.#loaded = true
      }
      return this.#values
    })
  }

  /** Another producer of this process has changed the scope. */
  changed(changes: readonly StateChange[]): void {
    for (const { key, value } of changes)
      if (value === undefined) this.#values.delete(key)
      else this.#values.set(key, value)
  }

  async #append(append: ExactAppend): Promise<number[][] | undefined> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#begin()
      } catch (error) {
        throw this.#explained(error, append)
      }
      const settled = this.#settled
      this.#settled = undefined
      if (settled?.append.records === append.records) return settled.offsets
      const left = this.#leftOut(append)
      if (left === 'all') return undefined
      const transaction = randomUUID()
      try {
        return await this.#write(append, left, transaction)
      } catch (error) {
        const offsets = error instanceof WriteFailed ? error.offsets : undefined
        if (offsets) this.#unsettled = { append, transaction, offsets }
        this.#failed(error, append, attempt)
      }
    }
  }

  /** Fences, and learns what was written last. */
  async #begin(): Promise<void> {
    if (this.#state === 'ready') return
    if (this.#state === 'lost') throw this.#lost()
    await this.#parts.prepare()
    if (this.#state === 'unsettled' && this.#scope !== undefined) await this.#transactor.recover()
    else {
      await this.#transactor.takeOver()
      this.#loaded = false
    }
    const stored = await this.#parts.sequences.read(this.#name)
    this.#last = new Map([...stored].map(([topic, value]): [string, Last] => [topic, JSON.parse(value.toString())]))
    this.#settle()
    this.#state = 'ready'
  }

  /** It is stored if it is the last that was written, and never will be otherwise. */
  #settle(): void {
    const tried = this.#unsettled
    this.#unsettled = undefined
    if (!tried || this.#last.get(keyOf(tried.append))?.transaction !== tried.transaction) return
    this.#settled = tried
    this.#applied(tried.append)
  }

  async #write(append: ExactAppend, left: number, transaction: string): Promise<number[][]> {
    const { sequences, state } = this.#parts
    const shares = append.shares(left)
    const sequence = highest(append.once) ?? this.#last.get(keyOf(append))?.sequence ?? noSequence
    const last: Last = { sequence, transaction }
    const written: Share[] = [
      ...shares,
      {
        topic: sequences.name,
        partition: sequences.partitionOf(this.#name),
        records: [{ key: encodeKey(this.#name, keyOf(append)), value: Buffer.from(JSON.stringify(last)) }],
      },
    ]
    if (append.state && append.state.changes.length > 0) {
      const scope = stateScope('append', append.state.scope)
      const records = append.state.changes.map(({ key, value }) =>
        value === undefined ? tombstone(scope, key) : stateRecord(scope, key, { from: 0, value, before: undefined }),
      )
      written.push({ topic: state.name, partition: state.partitionOf(scope), records })
    }
    const offsets = await this.#transactor.write(written)
    this.#last.set(keyOf(append), last)
    this.#applied(append)
    return offsets.slice(0, shares.length)
  }

  #applied({ state }: ExactAppend): void {
    if (state && state.scope === this.#scope) this.changed(state.changes)
  }

  /** Throws unless it is worth beginning anew. */
  #failed(error: unknown, append: ExactAppend, attempt: number): void {
    if (isProducerFenced(error)) {
      this.#state = this.#scope === undefined ? 'new' : 'lost'
      if (this.#scope !== undefined) throw this.#lost(error)
      if (attempt < mostAttempts) return
      throw new Retryable({
        code: 'log_unavailable',
        message: `Kafka: another process appends as ${this.#name} at the same time`,
        cause: error,
      })
    }
    const failed = error instanceof WriteFailed
    const cause = failed ? error.cause : error
    if (failed && error.aborted) throw this.#explained(cause, append)
    this.#state = 'unsettled'
    if (attempt >= mostAttempts) throw this.#explained(cause, append)
  }

  #leftOut({ topic, records, once }: ExactAppend): number | 'all' {
    const upmost = highest(once)
    if (once === undefined || upmost === undefined) return 0
    const last = this.#last.get(topic)?.sequence ?? Number.NEGATIVE_INFINITY
    if (upmost <= last) return 'all'
    if (typeof once.sequence === 'number') return 0
    return Math.min(records.length, once.sequence.filter((each) => each <= last).length)
  }

  #explained(error: unknown, { topic }: ExactAppend): unknown {
    if (isProducerFenced(error) && this.#scope !== undefined) {
      this.#state = 'lost'
      return this.#lost(error)
    }
    return explain(error, `appending to topic "${topic}"`)
  }

  #lost(cause?: unknown): Fenced {
    return new Fenced({
      code: 'fenced',
      message: `the state of ${this.#scope} has gone to another process`,
      cause,
    })
  }
}

function keyOf({ topic, once }: ExactAppend): string {
  return once === undefined ? '' : topic
}

function highest(once: AppendOptions['once']): number | undefined {
  if (once === undefined) return undefined
  return typeof once.sequence === 'number' ? once.sequence : once.sequence.at(-1)
}
