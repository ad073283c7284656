import type { z } from 'zod'
import type { Rejection } from './errors.ts'
import type { Event, NewRecord, Position } from './event.ts'
import type { TopicConfig } from './event-log.ts'
import type { Expressions, ExpressionType } from './expression.ts'
import type { Services } from './services.ts'
import type { Shape } from './shape.ts'
import type { LaneState, StateChange, StateReader } from './state.ts'

/** Something an option refers to, so that `lint` can check it and point at it. `path` leads from the options. */
export type Reference =
  | { readonly kind: 'expression'; readonly path: Path; readonly text: string; readonly returns: ExpressionType }
  | { readonly kind: 'field'; readonly path: Path; readonly name: string }
  | { readonly kind: 'vector'; readonly path: Path; readonly name: string }
export type Path = readonly (string | number)[]

interface Definition<Options> {
  /** The key in YAML. */
  readonly name: string
  /** One line, for `millrace list` and the reference. */
  readonly summary: string
  /** A YAML example of the component, as it stands in a pipeline. */
  readonly example: string
  /** The single origin of validation, defaults, JSON Schema and reference. Describe every option with `.describe()`. */
  readonly options: z.ZodType<Options>
  /** The option that is meant when the component is given just a value: `filter: has(value.body)`. */
  readonly main?: string | undefined
  /** Expressions, fields and vectors that the options name. They are checked against the events that come in. */
  references?(options: Options): Reference[]
}

export interface ComponentContext {
  readonly pipeline: string
  /** Unique within the pipeline, such as `embed` or `clickhouse.2`; names state, metrics and dead letters. */
  readonly component: string
  readonly services: Services
  readonly expressions: Expressions
}

/** What becomes of one event: nothing, one event, several, or a failure. */
export type Outcome = Event | readonly Event[] | null | Failure
export interface Failure {
  readonly failed: true
  readonly code: string
  readonly message: string
}

export interface ProcessContext {
  readonly state: LaneState
  readonly signal: AbortSignal
}

export interface Processor {
  /** Called in order, one batch at a time per lane. Without it, batches of a lane may be processed side by side. */
  readonly stateful?: boolean
  /** Also gets tombstones. Otherwise they go past it untouched. */
  readonly tombstones?: boolean
  /** One outcome for each event, by index. May throw `Retryable` or `Fatal` for the batch as a whole. */
  process(batch: readonly Event[], context: ProcessContext): Outcome[] | Promise<Outcome[]>
}

/** Written batch by batch as soon as the processors are done. */
export interface EventSink {
  readonly takes: 'events'
  /**
   * Idempotent under the events' ids and positions: a replay writes the same again, in another grouping perhaps.
   * One write is in flight per lane. Answers which events can never be accepted.
   */
  write(events: readonly Event[], context: SinkContext): Promise<Rejection[]>
  close?(): Promise<void>
}

export interface SinkContext {
  /** `pipeline/topic/partition` */
  readonly lane: string
  readonly signal: AbortSignal
}

/** Consecutive offsets of one partition, committed as a unit; the same events under the same id on every replay. */
export interface Block {
  /** `pipeline/topic/partition/from-to` */
  readonly id: string
  readonly lane: string
  readonly from: number
  readonly to: number
  readonly events: readonly Event[]
}

/** Written once per block under the block's id. */
export interface BlockSink {
  readonly takes: 'blocks'
  write(block: Block, context: SinkContext): Promise<Rejection[]>
  close?(): Promise<void>
}
export type Sink = EventSink | BlockSink

/**
 * Reads an outside system into the pipeline's intake topic `<pipeline>.in`, from which lanes read as from any topic.
 * So that nothing is lost or doubled, what has been read is remembered by the same append that stores it.
 */
export interface Intake {
  /** The intake topic's configuration, such as compaction for a source whose events replace each other by key. */
  readonly topic?: Partial<TopicConfig>
  /** Ends when the input is exhausted or the signal fires. */
  run(context: IntakeContext): Promise<void>
}

export interface IntakeContext {
  readonly signal: AbortSignal
  /** What this intake remembered with its appends. */
  readonly state: StateReader
  append(records: readonly NewRecord[], changes?: readonly StateChange[]): Promise<Position[]>
}

export interface IntakeDefinition<Options> extends Definition<Options> {
  readonly kind: 'source'
  create(options: Options, context: ComponentContext): Intake | Promise<Intake>
}

export interface ProcessorDefinition<Options> extends Definition<Options> {
  readonly kind: 'processor'
  /** What the events look like afterwards. Left out: as before. */
  shape?(options: Options, input: Shape): Shape
  create(options: Options, context: ComponentContext): Processor | Promise<Processor>
}

export interface SinkDefinition<Options> extends Definition<Options> {
  readonly kind: 'sink'
  /** Topics that the sink appends to, so that lint can find pipelines that feed themselves. */
  topics?(options: Options): readonly string[]
  create(options: Options, context: ComponentContext): Sink | Promise<Sink>
}

/** A definition whose options type is no longer of interest: what catalogs hold. */
export type AnyDefinition = AnyIntake | AnyProcessor | AnySink
export type AnyIntake = Erased<IntakeDefinition<never>, Intake>
export type AnyProcessor = Erased<ProcessorDefinition<never>, Processor> & {
  shape(options: unknown, input: Shape): Shape
}
export type AnySink = Erased<SinkDefinition<never>, Sink> & { topics(options: unknown): readonly string[] }

type Erased<D extends Definition<never>, Made> = Omit<D, 'options' | 'references' | 'shape' | 'topics' | 'create'> & {
  readonly options: z.ZodType
  references(options: unknown): Reference[]
  create(options: unknown, context: ComponentContext): Made | Promise<Made>
}

/** The options are parsed by the definition's own schema, so what comes in from outside is checked exactly once. */
function erase<Options>(definition: Definition<Options>) {
  const parse = (options: unknown): Options => definition.options.parse(options)
  return {
    name: definition.name,
    summary: definition.summary,
    example: definition.example,
    options: definition.options,
    main: definition.main,
    references: (options: unknown) => definition.references?.(parse(options)) ?? [],
    parse,
  }
}

export function defineIntake<Options>(definition: IntakeDefinition<Options>): AnyIntake {
  const { parse, ...rest } = erase(definition)
  return { ...rest, kind: 'source', create: (options, context) => definition.create(parse(options), context) }
}

export function defineProcessor<Options>(definition: ProcessorDefinition<Options>): AnyProcessor {
  const { parse, ...rest } = erase(definition)
  return {
    ...rest,
    kind: 'processor',
    shape: (options, input) => definition.shape?.(parse(options), input) ?? input,
    create: (options, context) => definition.create(parse(options), context),
  }
}

export function defineSink<Options>(definition: SinkDefinition<Options>): AnySink {
  const { parse, ...rest } = erase(definition)
  return {
    ...rest,
    kind: 'sink',
    topics: (options) => definition.topics?.(parse(options)) ?? [],
    create: (options, context) => definition.create(parse(options), context),
  }
}

/** Every component there is, by kind and name. Built once, by the composition root. */
export interface Catalog {
  readonly sources: ReadonlyMap<string, AnyIntake>
  readonly processors: ReadonlyMap<string, AnyProcessor>
  readonly sinks: ReadonlyMap<string, AnySink>
}

export function createCatalog(definitions: readonly AnyDefinition[]): Catalog {
  const sources = new Map<string, AnyIntake>()
  const processors = new Map<string, AnyProcessor>()
  const sinks = new Map<string, AnySink>()
  for (const definition of definitions) {
    if (definition.kind === 'source') sources.set(definition.name, definition)
    else if (definition.kind === 'processor') processors.set(definition.name, definition)
    else sinks.set(definition.name, definition)
  }
  return { sources, processors, sinks }
}
