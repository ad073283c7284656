import { setMaxListeners } from 'node:events'
import type { BlockSink, EventSink } from '../core/component.ts'
import { type LogRecord, laneName, sizeOf, type TopicPartition } from '../core/event.ts'
import type { EventLog, LaneSource } from '../core/event-log.ts'
import type { Expression } from '../core/expression.ts'
import type { BlockLimits, PipelineStatus } from '../core/pipeline.ts'
import type { Codec } from '../core/serde.ts'
import { BatchSizer, shareOf } from './batch-sizer.ts'
import { BlockCutter, type Span } from './block-cutter.ts'
import { BoundedQueue } from './bounded-queue.ts'
import { decodeRecords } from './decoder.ts'
import { EventWriter } from './event-writer.ts'
import { LaneStates } from './lane-state.ts'
import type { PipelineMeter } from './pipeline-meter.ts'
import { type NamedProcessor, type Processed, ProcessorChain } from './processor-chain.ts'
import { type RetryOptions, retry } from './retry.ts'
import { type ClosedBlock, Settlement } from './settlement.ts'

export interface LaneOptions {
  readonly pipeline: string
  readonly source: LaneSource
  readonly log: Pick<EventLog, 'append'>
  readonly codec: Codec
  readonly id: Expression<string> | undefined
  readonly processors: readonly NamedProcessor[]
  readonly eventSinks: readonly { readonly component: string; readonly sink: EventSink }[]
  readonly blockSinks: readonly { readonly component: string; readonly sink: BlockSink }[]
  readonly block: BlockLimits
  readonly meter: PipelineMeter
}

/** A batch that was read and whose processing has begun. */
interface Batch {
  readonly span: Span
  readonly records: readonly LogRecord[]
  readonly processed: Promise<Processed>
}

/**
 * Batches that may be processed side by side, per lane: as many bytes and events as four of the largest, and no more
 * than sixteen. Of texts to embed that is a second or two of work, enough for the embedder to put like lengths together.
 */
const largeBatchesInFlight = 4
const batchesInFlight = 16
/** Closed blocks that may wait for their turn, per lane. */
const blocksInFlight = 2
const statusPatienceMs = 1000

/**
 * The ordered work of one pipeline on one partition: three loops with bounded queues between them.
 *
 *     read ──batches──▶ deliver ──closed blocks──▶ settle ──▶ commit
 *                          └──▶ event writers ──────┘
 *
 * `read` starts the processing of each batch and reads on. `deliver` takes the processed batches in order, hands them to
 * the event writers at once, and cuts blocks. `settle` journals the end of a block, writes the block to the block sinks,
 * waits for the event writers to have passed it, and commits.
 */
export class Lane {
  readonly name: string
  readonly #options: LaneOptions
  readonly #abort = new AbortController()
  readonly #states: LaneStates
  readonly #chain: ProcessorChain
  readonly #cutter: BlockCutter
  readonly #settlement: Settlement
  readonly #writers: readonly EventWriter[]
  readonly #batches = new BoundedQueue<Batch>(largeBatchesInFlight, weightOf)
  readonly #blocks = new BoundedQueue<ClosedBlock>(blocksInFlight)
  readonly #sizer = new BatchSizer()
  #end: number

  constructor(options: LaneOptions) {
    const { source, pipeline } = options
    this.#options = options
    this.#end = source.committed.from
    this.name = laneName(pipeline, source.partition)
    // Everything in flight listens to it, which is bounded by the queues.
    setMaxListeners(0, this.#abort.signal)
    this.#states = new LaneStates(source.state)
    this.#cutter = new BlockCutter(options.block, source.committed.ends)
    this.#chain = new ProcessorChain(options.processors, this.#states, this.#abort.signal, (component) =>
      this.#retry(component, false),
    )
    this.#writers = options.eventSinks.map(({ component, sink }) => this.#createWriter(component, sink))
    this.#settlement = new Settlement({
      ...options,
      lane: this.name,
      states: this.#states,
      writers: this.#writers,
      signal: this.#abort.signal,
      retry: (component) => this.#retry(component, true),
    })
  }

  /**
   * Runs until `stop` fires, then finishes and commits what it has read. `abort` (or the loss of the partition) drops
   * everything at once; what was not committed is replayed by whoever reads the partition next. Throws what is final.
   */
  async run(stop: AbortSignal, abort: AbortSignal): Promise<void> {
    const signal = AbortSignal.any([abort, this.#options.source.revoked])
    const onAbort = () => this.#abort.abort(signal.reason)
    signal.addEventListener('abort', onAbort)
    if (signal.aborted) onAbort()
    const writersDone = new AbortController()
    const writing = this.#writers.map((writer) => writer.run(AbortSignal.any([writersDone.signal, this.#abort.signal])))
    const loops = [this.#read(stop), this.#deliver(), this.#settle()]
    const flow = Promise.all(loops)
    try {
      // A writer only ends before the flow does by failing.
      await Promise.race([flow, ...writing.map((writer) => writer.then(() => flow))])
    } finally {
      signal.removeEventListener('abort', onAbort)
      this.#abort.abort(signal.aborted ? signal.reason : undefined)
      writersDone.abort()
      this.#batches.end()
      this.#blocks.end()
      // Nothing of this lane may still be at work when its successor starts.
      await Promise.allSettled([...loops, ...writing])
    }
  }

  get partition(): TopicPartition {
    return this.#options.source.partition
  }

  /** How many offsets are not yet delivered and committed. Throws what the log throws. */
  async lag(): Promise<number> {
    this.#end = await this.#options.source.end()
    return Math.max(0, this.#end - this.#settlement.committed)
  }

  /** If the log does not answer, its end is where it was when it last did. */
  async status(): Promise<PipelineStatus['lanes'][number]> {
    await within(this.lag(), statusPatienceMs).catch(() => undefined)
    const { committed } = this.#settlement
    const end = Math.max(this.#end, committed)
    return { ...this.partition, committed, end, lag: end - committed }
  }

  async #read(stop: AbortSignal): Promise<void> {
    const { source, meter } = this.#options
    const signal = AbortSignal.any([stop, this.#abort.signal])
    let from = source.committed.from
    while (!signal.aborted) {
      await this.#batches.room(signal)
      // Only this loop reads ahead of the cutter, so it keeps its own count of the boundaries it has passed.
      const before = source.committed.ends.find((end) => end > from)
      const limit = { ...this.#sizer.limit, before }
      const records = await retry(() => source.read(limit, signal), { ...this.#retry('source', true), signal }).catch(
        ignoreAbort(signal),
      )
      if (!records || (records.length === 0 && (before === undefined || signal.aborted))) continue
      // Nothing is left below the boundary (compacted or expired): the block ends there all the same.
      await this.#loadSchemas(records, signal)
      if (signal.aborted) break
      const last = records.at(-1)
      const to = last ? last.offset + 1 : (before ?? from)
      meter.read(records.length)
      this.#batches.push(this.#start({ from, to, records: records.length, bytes: bytesOf(records) }, records))
      from = to
    }
    this.#batches.end()
  }

  /** Schemas that the records name and that are not known yet. */
  async #loadSchemas(records: readonly LogRecord[], signal: AbortSignal): Promise<void> {
    const { codec } = this.#options
    if (codec.load === undefined) return
    const load = () => codec.load?.(records.map(({ value }) => value))
    let loading = load()
    if (loading === undefined) return
    const attempt = async () => {
      const current = loading ?? load()
      loading = undefined
      await current
    }
    await retry(attempt, { ...this.#retry('schemas', true), signal }).catch(ignoreAbort(signal))
  }

  #start(span: Span, records: readonly LogRecord[]): Batch {
    const { codec, id } = this.#options
    const started = performance.now()
    const { events, deadLetters } = decodeRecords(records, codec, id)
    const processed = this.#chain.run(events).then((result) => {
      this.#sizer.took(started, performance.now(), span.records, span.bytes)
      return { events: result.events, deadLetters: [...deadLetters, ...result.deadLetters] }
    })
    // `deliver` awaits it in its turn; until then a failure must not count as unhandled.
    processed.catch(() => {})
    return { span, records, processed }
  }

  async #deliver(): Promise<void> {
    let open: { from: number; to: number; records: LogRecord[]; processed: Processed[] } | undefined
    const close = async () => {
      if (!open) return
      const block = open
      open = undefined
      this.#cutter.closed(block.to)
      await this.#blocks.room(this.#abort.signal)
      this.#blocks.push(block)
    }
    for (;;) {
      const due = this.#cutter.dueIn(performance.now())
      const batch = await this.#batches.shift(due)
      if (batch === 'ended') break
      if (batch === 'timeout') {
        await close()
        continue
      }
      const processed = await this.#outcome(batch, close)
      const { span, records } = batch
      for (const writer of this.#writers) writer.push(processed.events, span.to)
      open ??= { from: span.from, to: span.to, records: [], processed: [] }
      open.to = span.to
      for (const record of records) open.records.push(record)
      open.processed.push(processed)
      if (this.#cutter.add(span, performance.now())) await close()
    }
    // Stopping: the open block is finished, unless it is a replay that has not reached its journalled end.
    if (this.#cutter.boundary === undefined) await close()
    this.#blocks.end()
  }

  /** Waits for the batch; a block that comes of age meanwhile is closed without it. */
  async #outcome({ processed }: Batch, close: () => Promise<void>): Promise<Processed> {
    for (;;) {
      const due = this.#cutter.dueIn(performance.now())
      if (due === undefined) return processed
      const outcome = await within(processed, due)
      if (outcome !== 'timeout') return outcome
      await close()
    }
  }

  async #settle(): Promise<void> {
    for (;;) {
      const block = await this.#blocks.shift()
      if (block === 'ended' || block === 'timeout') return
      await this.#settlement.settle(block, () => this.#blocks.size > 0)
    }
  }

  #createWriter(component: string, sink: EventSink): EventWriter {
    const { source, meter } = this.#options
    return new EventWriter(source.committed.from, {
      component,
      sink: {
        takes: 'events',
        write: async (events, context) => {
          source.assertOwned()
          return sink.write(events, context)
        },
      },
      context: { lane: this.name, signal: this.#abort.signal },
      retry: this.#retry(component, true),
      accepted: (events, seconds) => {
        meter.written(component, events.length, seconds)
        meter.delivered(events)
      },
      rejected: (letters) => {
        this.#settlement.rejected(letters)
      },
    })
  }

  #retry(component: string, retryUnknown: boolean): RetryOptions {
    const { meter } = this.#options
    return {
      signal: this.#abort.signal,
      retryUnknown,
      report: (error) => meter.trouble(this.name, component, error),
    }
  }
}

function weightOf({ span }: Batch): number {
  return Math.max(largeBatchesInFlight / batchesInFlight, shareOf(span.records, span.bytes))
}

async function within<T>(promise: Promise<T>, milliseconds: number): Promise<T | 'timeout'> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<'timeout'>((resolve) => {
    timer = setTimeout(() => resolve('timeout'), milliseconds)
  })
  try {
    return await Promise.race([promise, timeout])
  } finally {
    clearTimeout(timer)
  }
}

function ignoreAbort(signal: AbortSignal): (error: unknown) => undefined {
  return (error) => {
    if (!signal.aborted) throw error
    return undefined
  }
}

function bytesOf(records: readonly LogRecord[]): number {
  let bytes = 0
  for (const record of records) bytes += sizeOf(record)
  return bytes
}
