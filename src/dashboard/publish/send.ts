import type { Client, JsonValue, PublishedPosition } from '../../client/index.ts'
import { newestEvents, type Pipeline, type PipelineFile } from '../api.ts'
import { channelsOf, hasOwnIds, readersOf } from '../pipeline-text.ts'
import { type Arrival, ArrivalWatch } from './arrival.ts'

/** What is known of a published event; each later one replaces the one before. */
export interface Progress {
  readonly id: number
  readonly topic: string
  /** `topic/partition/offset`, once it is durable. */
  readonly place?: string
  readonly acceptedMs?: number
  readonly outcome?:
    | { readonly kind: 'arrived'; readonly arrival: Arrival; readonly ms: number }
    | { readonly kind: 'note'; readonly text: string }
    | { readonly kind: 'dead letter'; readonly pipeline: string; readonly text: string }
    | { readonly kind: 'failed'; readonly error: unknown }
}

export interface Order {
  readonly id: number
  readonly topic: string
  readonly value: JsonValue
  readonly files: readonly PipelineFile[]
  /** The pipelines as of now, whenever it is called. */
  readonly pipelines: () => readonly Pipeline[]
}

const subscribeMs = 3_000
const patienceMs = 30_000
const lookMs = 250

/** Publishes one event and watches it come out. */
export async function send(client: Client, order: Order, tell: (progress: Progress) => void): Promise<void> {
  const { id, topic, value } = order
  const readers = readersOf(topic, order.files)
  const channels = [...new Set(readers.flatMap(({ text }) => channelsOf(text)))]
  const watch = new ArrivalWatch(client, channels)
  let progress: Progress = { id, topic }
  const advance = (part: Partial<Progress>) => {
    progress = { ...progress, ...part }
    tell(progress)
  }
  advance({})
  try {
    // Without the channel the event is published all the same; only its way out is not seen then.
    await Promise.race([watch.ready().catch(() => undefined), sleep(subscribeMs)])
    const started = performance.now()
    const [position] = await client.publish(topic, [value])
    if (!position) return
    const place = `${position.topic}/${position.partition}/${position.offset}`
    advance({ place, acceptedMs: performance.now() - started })
    if (readers.length === 0) return advance({ outcome: note('No pipeline reads this topic yet.') })
    if (channels.length === 0) return advance({ outcome: note('No pipeline that reads this topic has a live sink.') })
    const found = await Promise.race([watch.find(place), passed(order, readers, position)])
    if (found && 'frame' in found) {
      advance({ outcome: { kind: 'arrived', arrival: found, ms: found.at - started } })
    } else {
      advance({ outcome: found ? await whyNot(client, readers, position) : note(waitingText) })
    }
  } catch (error) {
    advance({ outcome: { kind: 'failed', error } })
  } finally {
    watch.close()
  }
}

const waitingText = `Not seen within ${patienceMs / 1_000} s: its pipeline is behind, paused or waits for a store.`

/** Resolves soon after every pipeline has the event behind it; with undefined if that takes too long. */
async function passed(
  { pipelines }: Order,
  readers: readonly PipelineFile[],
  { topic, partition, offset }: PublishedPosition,
): Promise<{ readonly done: true } | undefined> {
  const names = new Set(readers.map(({ name }) => name))
  const deadline = performance.now() + patienceMs
  while (performance.now() < deadline) {
    const lanes = pipelines()
      .filter(({ name }) => names.has(name))
      .map((pipeline) => pipeline.lanes.find((lane) => lane.topic === topic && lane.partition === partition))
    await sleep(lookMs)
    if (lanes.every((lane) => lane !== undefined && lane.committed > offset)) return { done: true }
  }
  return undefined
}

async function whyNot(client: Client, readers: readonly PipelineFile[], position: PublishedPosition) {
  for (const { name } of readers) {
    const letters = await newestEvents(client, `${name}.dlq`, 20).catch(() => [])
    const letter = letters.find(({ headers }) => {
      const { 'millrace-topic': topic, 'millrace-partition': partition, 'millrace-offset': offset } = headers
      return topic === position.topic && partition === `${position.partition}` && offset === `${position.offset}`
    })
    if (letter) {
      const text = `${letter.headers['millrace-component']}: ${letter.headers['millrace-message']}`
      return { kind: 'dead letter', pipeline: name, text } as const
    }
  }
  if (readers.some(({ text }) => hasOwnIds(text))) {
    return note('Its pipeline is done with it; under an id of its own, so that it cannot be told from others here.')
  }
  return note('Its pipeline is done with it and pushed nothing: a filter let it go.')
}

function note(text: string) {
  return { kind: 'note', text } as const
}

function sleep(ms: number): Promise<undefined> {
  return new Promise((resolve) => setTimeout(() => resolve(undefined), ms))
}
