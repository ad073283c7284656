import type { BlockSink } from '../core/component.ts'
import type { LogRecord } from '../core/event.ts'
import type { EventLog, LaneSource } from '../core/event-log.ts'
import { unlessAborted } from '../core/unless-aborted.ts'
import { allSettled } from './all-settled.ts'
import { type DeadLetter, writeDeadLetters } from './dead-letters.ts'
import type { EventWriter } from './event-writer.ts'
import { Journal } from './journal.ts'
import type { LaneStates } from './lane-state.ts'
import type { PipelineMeter } from './pipeline-meter.ts'
import type { Processed } from './processor-chain.ts'
import { type RetryOptions, retry } from './retry.ts'

export interface ClosedBlock {
  readonly from: number
  readonly to: number
  readonly records: readonly LogRecord[]
  readonly processed: readonly Processed[]
}

export interface SettlementOptions {
  readonly pipeline: string
  readonly lane: string
  readonly source: LaneSource
  readonly log: Pick<EventLog, 'append'>
  readonly blockSinks: readonly { readonly component: string; readonly sink: BlockSink }[]
  readonly writers: readonly EventWriter[]
  readonly states: LaneStates
  readonly meter: PipelineMeter
  readonly signal: AbortSignal
  readonly retry: (component: string) => RetryOptions
}

/**
 * What happens to the closed blocks of a lane, one after the other: the end is journalled, the block sinks are given
 * the block, the event sinks are waited for, what was rejected goes to the dead letters, and the delivery is committed
 * together with the state it left.
 */
export class Settlement {
  readonly #options: SettlementOptions
  readonly #journal: Journal
  /** Rejections by event sinks that are not yet in the dead letters. */
  #rejected: DeadLetter[] = []
  #committed: number

  constructor(options: SettlementOptions) {
    this.#options = options
    this.#journal = new Journal(options.source.committed)
    this.#committed = options.source.committed.from
  }

  /** The first offset whose delivery is not yet committed. */
  get committed(): number {
    return this.#committed
  }

  /** An event sink has refused these for good. */
  rejected(letters: readonly DeadLetter[]): void {
    this.#rejected.push(...letters)
  }

  /** `followed` tells whether another block is closed by now. */
  async settle(block: ClosedBlock, followed: () => boolean): Promise<void> {
    const { blockSinks, writers, log, pipeline, lane, meter, retry: retryOptions } = this.#options
    if (blockSinks.length > 0) {
      this.#journal.close(block.to)
      if (!this.#journal.isJournalled(block.to)) await this.#commit()
    }
    const written = await allSettled(blockSinks.map((named) => this.#writeBlock(block, named)))
    await unlessAborted(Promise.all(writers.map((writer) => writer.reached(block.to))), this.#options.signal)
    const letters = [
      ...block.processed.flatMap(({ deadLetters }) => deadLetters),
      ...written.flat(),
      ...this.#rejected.filter(({ offset }) => offset < block.to),
    ]
    if (letters.length > 0) {
      const record = finder(block.records)
      await retry(() => writeDeadLetters(log, pipeline, lane, letters, record), retryOptions('dead letters'))
      this.#rejected = this.#rejected.filter(({ offset }) => offset >= block.to)
    }
    meter.settled(block.records.length, block.processed, letters)
    this.#journal.deliver(block.to)
    // With another block closed already, its end and this delivery share one commit.
    if (blockSinks.length === 0 || !followed()) await this.#commit()
  }

  async #writeBlock(
    block: ClosedBlock,
    { component, sink }: { readonly component: string; readonly sink: BlockSink },
  ): Promise<DeadLetter[]> {
    const { source, meter, lane, signal, retry: retryOptions } = this.#options
    const events =
      block.processed.length === 1 ? (block.processed[0]?.events ?? []) : block.processed.flatMap((p) => p.events)
    if (events.length === 0) return []
    const { from, to } = block
    const whole = { id: `${lane}/${from}-${to}`, lane, from, to, events }
    const context = { lane, signal }
    const started = performance.now()
    const rejections = await retry(async () => {
      source.assertOwned()
      return sink.write(whole, context)
    }, retryOptions(component))
    meter.written(component, events.length - rejections.length, (performance.now() - started) / 1000)
    return rejections.flatMap(({ index, code, message }) => {
      const offset = events[index]?.position.offset
      return offset === undefined ? [] : [{ offset, component, code, message }]
    })
  }

  async #commit(): Promise<void> {
    const { source, states, retry: retryOptions } = this.#options
    const next = this.#journal.next()
    const changes = states.below(next.from)
    await retry(() => source.commit(next, changes), retryOptions('commit'))
    this.#journal.committed(next)
    states.forget(next.from)
    this.#committed = next.from
  }
}

/** Finds a record by offset; records ascend by offset. */
function finder(records: readonly LogRecord[]): (offset: number) => LogRecord {
  return (offset) => {
    let low = 0
    let high = records.length - 1
    while (low <= high) {
      const middle = (low + high) >> 1
      const record = records[middle]
      if (record === undefined) break
      if (record.offset === offset) return record
      if (record.offset < offset) low = middle + 1
      else high = middle - 1
    }
    throw new Error(`no record at offset ${offset} in its own block`)
  }
}
