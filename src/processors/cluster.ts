import { setImmediate as nextTurn } from 'node:timers/promises'
import { z } from 'zod'
import { defineProcessor, type Failure, type Outcome } from '../core/component.ts'
import { type Event, isJsonObject, type JsonObject } from '../core/event.ts'
import type { Expression } from '../core/expression.ts'
import type { LaneState } from '../core/state.ts'
import { type Assignment, type ClusterBounds, Clusters, type Space } from './cluster-memory.ts'
import { tellingWords } from './cluster-words.ts'
import { failed, withValue } from './outcome.ts'
import { meaningOptions, meaningReferences, meaningsOf, ownFields } from './texts.ts'

/** Events that are worked on at a stretch: some milliseconds, after which others have their turn. */
const stretch = 50

const fieldName = z.string().min(1)

const options = z
  .strictObject({
    vector: meaningOptions.vector,
    text: z
      .string()
      .optional()
      .describe(
        'An expression for a text: its words name the cluster, and without `vector` its embedding is compared.',
      ),
    as: fieldName
      .default('cluster')
      .describe('The field that takes the id of the cluster: the position of the event that founded it.'),
    nameAs: fieldName
      .optional()
      .describe('A field that takes the name: up to three typical words. It may change as the cluster grows.'),
    sizeAs: fieldName.optional().describe('A field that takes how many events have joined, this one included.'),
    scoreAs: fieldName
      .optional()
      .describe('A field that takes the similarity to the centroid, -1 to 1; 1 for the event that founds the cluster.'),
    minScore: z
      .number()
      .min(0)
      .max(1)
      .default(0.35)
      .describe(
        'The least cosine similarity to the centroid for an event to join: higher for narrower clusters, and for long texts.',
      ),
    most: z
      .int()
      .min(1)
      .max(2_000)
      .default(200)
      .describe(
        'Clusters in each partition at a time. For one more, the smallest of the half not met for longest is forgotten.',
      ),
  })
  .refine(({ vector, text }) => vector !== undefined || text !== undefined, 'give "vector", "text" or both')
  .refine(({ text, nameAs }) => text !== undefined || nameAs === undefined, {
    message: 'a name is made of words: give "text" as well',
    path: ['nameAs'],
  })
  .refine(({ vector, text, nameAs }) => vector === undefined || text === undefined || nameAs !== undefined, {
    message: 'beside "vector" it is only read for the name: give "nameAs" as well',
    path: ['text'],
  })
  .superRefine(ownFields('as', 'nameAs', 'sizeAs', 'scoreAs'))

type Options = z.infer<typeof options>

/** Puts each event into the cluster that is nearest in meaning, or founds one. */
export const cluster = defineProcessor({
  kind: 'processor',
  name: 'cluster',
  summary: 'Groups events by meaning as they come, and sets fields to the cluster of each: id, name, size.',
  example: `cluster:
  vector: meaning
  text: 'value.subject + " " + value.body'
  as: topic
  nameAs: topicName`,
  options,
  references: (given) => meaningReferences(given),
  shape({ as, nameAs, sizeAs, scoreAs }, input) {
    if (input.fields === undefined) return input
    const added = [as, nameAs, sizeAs, scoreAs].filter((name) => name !== undefined)
    return { ...input, fields: new Set([...input.fields, ...added]) }
  },
  async create(options, context) {
    const { vector, text, nameAs } = options
    const embedder = await context.services.embedder()
    const meanings = meaningsOf(vector === undefined ? { text } : { vector }, embedder, context)
    const textOf = nameAs === undefined ? undefined : context.expressions.compile(text ?? '', 'string')
    const lanes = new Lanes(embedder, options)
    return {
      stateful: true,
      async process(batch, { state, signal }) {
        const clusters = await lanes.clusters(state)
        const found = await meanings(batch, signal)
        const members = batch.map((event, index) => memberOf(event, found[index], textOf, context.component))
        const given = members.flatMap((member) => ('failed' in member ? [] : [member.vector]))
        // All that can fail has been done: what follows changes the state, and happens once.
        const scores = (await clusters.compare(given)).values()
        const outcomes: Outcome[] = []
        for (const member of members) {
          if (outcomes.length % stretch === stretch - 1) await nextTurn()
          if ('failed' in member) outcomes.push(member)
          else {
            const { event, value, vector, text } = member
            const assigned = clusters.assign(event, vector, scores.next().value, tellingWords(text))
            outcomes.push(withValue(event, { ...value, ...fieldsOf(assigned, clusters, options) }))
          }
        }
        return outcomes
      },
    }
  },
})

/** The clusters of each lane. A lane has one state for as long as it lives, and what is read from it once is kept beside it. */
class Lanes {
  readonly #space: Space
  readonly #bounds: ClusterBounds
  readonly #clusters = new WeakMap<LaneState, Clusters>()

  constructor(space: Space, bounds: ClusterBounds) {
    this.#space = space
    this.#bounds = bounds
  }

  async clusters(state: LaneState): Promise<Clusters> {
    const clusters = this.#clusters.get(state) ?? (await Clusters.load(state, this.#space, this.#bounds))
    this.#clusters.set(state, clusters)
    return clusters
  }
}

/** An event that can be put into a cluster. */
interface Member {
  readonly event: Event
  readonly value: JsonObject
  readonly vector: Float32Array
  /** Names the cluster; empty where none is named. */
  readonly text: string
}

function memberOf(
  event: Event,
  vector: Float32Array | Failure | undefined,
  textOf: Expression<string> | undefined,
  component: string,
): Member | Failure {
  if (vector === undefined) throw new Error('there are fewer vectors than events')
  if ('failed' in vector) return vector
  const { value } = event
  if (!isJsonObject(value)) {
    const message = `${component}: the value is no object, so it cannot take the field of its cluster. Use "map" before it.`
    return { failed: true, code: 'value_not_object', message }
  }
  try {
    return { event, value, vector, text: textOf === undefined ? '' : textOf(event) }
  } catch (error) {
    return failed(error)
  }
}

function fieldsOf(
  { cluster, score }: Assignment,
  clusters: Clusters,
  { as, nameAs, sizeAs, scoreAs }: Options,
): JsonObject {
  return {
    [as]: cluster.id,
    ...(nameAs === undefined ? {} : { [nameAs]: clusters.vocabulary.name(cluster.words) }),
    ...(sizeAs === undefined ? {} : { [sizeAs]: cluster.size }),
    ...(scoreAs === undefined ? {} : { [scoreAs]: score }),
  }
}
