import { setTimeout as delay } from 'node:timers/promises'
import { InvalidInput, NotFound, Retryable } from '../core/errors.ts'
import type { Expressions } from '../core/expression.ts'
import { didYouMean } from '../core/nearest.ts'
import type { PipelineSpec } from '../core/pipeline.ts'
import type { Collection, VectorStore } from '../core/vector-store.ts'
import type { EngineContext } from '../engine/build.ts'
import { heardMs, type Place, type Places } from './places.ts'
import { bringsVectors, collectionsOf, Replay, replayOf, writesTo } from './replay.ts'
import { takeOver } from './take-over.ts'

export interface MigrationOptions {
  readonly collection: string
  /** Every pipeline there is; those that write to the collection are replayed. */
  readonly specs: readonly PipelineSpec[]
  /** The name that the new vectors get in the store; chosen when left out. */
  readonly to?: string | undefined
  /** Computes the text of a point from its stored fields, as `value`: then what the log no longer has is moved too. */
  readonly text?: string | undefined
  /** Also move a collection that has vectors of this model already. */
  readonly reindex?: boolean | undefined
  /** The store itself, and where its collections are. */
  readonly store: VectorStore
  readonly places: Places
  readonly expressions: Expressions
  /** Its services have the new model, and the store itself. */
  readonly context: EngineContext
  readonly signal: AbortSignal
  progress(progress: MigrationProgress): void
}

export type MigrationProgress =
  | {
      readonly step: 'started'
      readonly collection: string
      readonly from: string
      readonly to: string
      readonly resumed: boolean
    }
  | { readonly step: 'store'; readonly done: number; readonly total: number }
  | { readonly step: 'log'; readonly lag: number; readonly reason?: string | undefined }
  | { readonly step: 'switching' }

/** `unchanged`: its vectors are of this model already. `interrupted`: called again, it goes on. */
export interface MigrationResult {
  readonly outcome: 'switched' | 'unchanged' | 'interrupted'
  readonly collection: string
  /** The collection of the store that holds it now. */
  readonly current: string
  readonly count: number
}

/** What is moved from where to where. */
interface Aim {
  readonly current: string
  readonly next: NonNullable<Place['next']>
}

/** With so few events to come, what remains takes a moment. */
const nearlyThere = 200
const pollMs = 250
/** Writers wait for so long at most, also when the process that moves the collection dies meanwhile. */
const holdMs = 60_000
const drainMs = 20_000
const stopMs = 10_000
/** The switch has to be made with so much of the hold left. */
const reserveMs = 25_000

/**
 * Moves a collection to vectors of the context's model while it is written and searched, and switches over. Each step is
 * durable, so that it goes on after a crash at any moment:
 *
 *     begun ▶ taken over from the store ▶ replayed from the log ▶ held ▶ caught up ▶ switched
 */
export async function migrate(options: MigrationOptions): Promise<MigrationResult> {
  const { collection, store, places, signal } = options
  const writers = options.specs.filter((spec) => writesTo(spec, collection))
  if (writers.length === 0) throw noWriter(collection, collectionsOf(options.specs))
  const place = (await places.latest(collection)) ?? { current: collection }
  const old = await store.find(place.current)
  const fingerprint = await wantedFingerprint(options, writers)
  const result = async (outcome: MigrationResult['outcome'], current: string): Promise<MigrationResult> => {
    return { outcome, collection, current, count: (await (await store.find(current))?.count()) ?? 0 }
  }
  const resumes = place.next?.fingerprint === fingerprint && (options.to ?? place.next.name) === place.next.name
  if (!resumes && old?.spec.fingerprint === fingerprint && options.reindex !== true) {
    return result('unchanged', place.current)
  }
  const begun = resumes ? resume(options, place) : await begin(options, place, fingerprint)
  const next = begun.next
  if (next === undefined) throw new Error('a move that has begun has no aim')
  options.progress({ step: 'started', collection, from: begun.current, to: next.name, resumed: resumes })
  // Before the first event is replayed: what was deleted or replaced in the meantime is so by the replay.
  if (options.text !== undefined && !next.scanned) {
    if (old !== undefined) await copyFromStore(options, options.text, old, next.name)
    if (signal.aborted) return result('interrupted', begun.current)
    await places.set(collection, { current: begun.current, next: { ...next, scanned: true } })
  }
  const aim = { current: begun.current, next: { ...next, scanned: true } }
  const replays = writers.map((spec) => replayOf(spec, collection, next.name))
  const switched = await replayAndSwitch(options, replays, aim)
  return result(switched ? 'switched' : 'interrupted', switched ? next.name : begun.current)
}

function noWriter(collection: string, known: readonly string[]): NotFound {
  return new NotFound({
    code: 'pipeline_not_found',
    message: `No pipeline writes to the collection "${collection}"${didYouMean(collection, known)}`,
    hint: 'Name the pipeline files that are run, if they are not those of the runtime.',
  })
}

async function wantedFingerprint(options: MigrationOptions, writers: readonly PipelineSpec[]): Promise<string> {
  if (writers.every((spec) => bringsVectors(spec, options.collection))) return 'none'
  return (await options.context.services.embedder()).fingerprint
}

async function begin(options: MigrationOptions, place: Place, fingerprint: string): Promise<Place> {
  const { collection, places } = options
  const name = options.to ?? (await freeName(options))
  if (name === place.current || (await options.store.find(name)) !== undefined) {
    const message = `There is a collection "${name}" already; the new vectors need one of their own.`
    throw new InvalidInput({ code: 'collection_exists', message, hint: 'Give another name with --to.' })
  }
  const begun = { current: place.current, next: { name, fingerprint, scanned: options.text === undefined } }
  await places.set(collection, begun)
  return begun
}

/** A hold of a process that died is left to run out: it may also be that of one that lives elsewhere. */
function resume({ collection, text }: MigrationOptions, { current, next }: Place): Place {
  if (next?.scanned === false && text === undefined) {
    const message = `Moving "${collection}" was begun with --text, and what the store holds is not taken over yet.`
    throw new InvalidInput({ code: 'text_missing', message, hint: 'Give --text again, or another name with --to.' })
  }
  return { current, next }
}

async function freeName({ collection, store }: MigrationOptions): Promise<string> {
  for (let generation = 2; ; generation++) {
    const name = `${collection}-${generation}`
    if ((await store.find(name)) === undefined) return name
  }
}

async function copyFromStore(options: MigrationOptions, text: string, old: Collection, to: string): Promise<void> {
  const { store, expressions, context, signal } = options
  const embedder = await context.services.embedder()
  const { fingerprint, dimension } = embedder
  const total = await old.count()
  const next = await store.open({ name: to, fingerprint, dimension, fields: old.spec.fields })
  const textOf = expressions.compile(text, 'string')
  for await (const done of takeOver({ old, next, embedder, textOf, signal })) {
    options.progress({ step: 'store', done, total })
  }
}

/** False if it was interrupted. */
async function replayAndSwitch(options: MigrationOptions, specs: readonly PipelineSpec[], aim: Aim): Promise<boolean> {
  const { context, signal, progress } = options
  const log = await context.services.log()
  while (!signal.aborted) {
    const replay = new Replay(specs, log, context)
    try {
      if (!(await catchUp(replay, signal, progress))) return false
      progress({ step: 'switching' })
      if (await switchOver(options, replay, aim)) return true
    } finally {
      await replay.stop(stopMs)
    }
  }
  return false
}

/** False if that could not be done in the time that writers may wait; they go on then. */
async function switchOver(
  { collection, places, signal }: MigrationOptions,
  replay: Replay,
  { current, next }: Aim,
): Promise<boolean> {
  const before = await places.latest(collection)
  // Another process, on another machine perhaps, has come first, or is about to.
  if (before?.current === next.name) return true
  if ((before?.heldUntil ?? 0) > Date.now()) {
    await delay(pollMs)
    return false
  }
  const heldUntil = Date.now() + holdMs
  const isHeldByUs = async () => (await places.latest(collection))?.heldUntil === heldUntil
  await places.set(collection, { current, next, heldUntil })
  await delay(heardMs)
  // Whatever a writer had begun before it heard of the hold stands in the log before these ends.
  const drained = await replay.reaches(await replay.ends(), drainMs, signal)
  // Nothing of the replay may reach the new place once others write to it.
  await replay.stop(stopMs)
  if (!(await isHeldByUs())) return false
  const inTime = drained && heldUntil - Date.now() > reserveMs
  await places.set(collection, inTime ? { current: next.name } : { current, next })
  return inTime
}

async function catchUp(replay: Replay, signal: AbortSignal, progress: MigrationOptions['progress']): Promise<boolean> {
  while (!signal.aborted) {
    const { lag, reason } = await replay.lag().catch((error: unknown) => {
      if (error instanceof Retryable) return { lag: Number.POSITIVE_INFINITY, reason: error.message }
      throw error
    })
    if (Number.isFinite(lag)) progress({ step: 'log', lag, reason })
    if (lag <= nearlyThere) return true
    await delay(pollMs, undefined, { signal }).catch(() => undefined)
  }
  return false
}
