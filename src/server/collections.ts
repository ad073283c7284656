import type { Context } from 'hono'
import { z } from 'zod'
import type { Embedder } from '../core/embedder.ts'
import { Forbidden, NotFound } from '../core/errors.ts'
import { type Filter, filterSchema, type Scalar } from '../core/filter.ts'
import { didYouMean } from '../core/nearest.ts'
import type { RowFilter } from '../core/principal.ts'
import { duration } from '../core/units.ts'
import type { Collection, Match, VectorStore } from '../core/vector-store.ts'
import { defaultRecencyWeight, defaultWordsWeight, search } from '../search/search.ts'
import { readJson } from './body.ts'
import type { GatewayContext } from './context.ts'
import { mayAny } from './permission.ts'
import { InvalidRequest } from './problem.ts'
import { pathParameter, type Routes } from './route.ts'
import { answer, position, request } from './schemas.ts'

const weight = (byDefault: number) => z.number().min(0).max(1).default(byDefault)
const searchBody = request(
  'Search',
  z
    .strictObject({
      text: z.string().min(1).max(32_768).optional().describe('Is embedded with the model of the collection.'),
      vector: z.array(z.number()).min(1).max(16_384).optional(),
      k: z.int().min(1).max(1_000).default(10).describe('How many matches at most.'),
      filter: filterSchema.optional().describe('Condition on the fields: {"category": {"$eq": "billing"}}.'),
      minScore: z.number().min(-1).max(1).optional().describe('Least score.'),
      hybrid: z
        .union(
          [z.boolean(), z.strictObject({ weight: weight(defaultWordsWeight) })],
          'expected true, false or {"weight": 0.3}',
        )
        .default(false)
        .describe('Also looks for the words of the text; with how much they count beside its meaning.'),
      recency: z
        .strictObject({
          halfLife: duration().describe('After which the part of the score that fades is half as much, such as 7d.'),
          weight: weight(defaultRecencyWeight),
        })
        .optional()
        .describe('Newer matches before older ones.'),
    })
    .refine(
      ({ text, vector }) => (text === undefined) !== (vector === undefined),
      'give exactly one of text and vector',
    )
    .refine(
      ({ text, hybrid }) => text !== undefined || hybrid === false,
      'hybrid looks for the words of a text: give text in place of vector, or leave hybrid out',
    ),
)
const fields = z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]))
const matches = answer(
  'Matches',
  z.object({
    matches: z.array(
      z.object({
        id: z.string(),
        score: z.number().describe('Descending: the similarity, with words and age as far as they were asked for.'),
        similarity: z.number().describe('Cosine similarity, -1 to 1.'),
        words: z.number().optional().describe('How well the words fit, 0 to 1, in a hybrid search.'),
        fields,
        timestamp: z.number(),
        position,
      }),
    ),
    hint: z.string().optional().describe('What to do about matches that are not what was asked for.'),
  }),
)
const collections = answer(
  'Collections',
  z.object({
    collections: z.array(
      z.object({
        name: z.string(),
        count: z.int(),
        dimension: z.int(),
        fields: z.array(z.string()),
        fingerprint: z.string().describe('Of the model that made the vectors.'),
      }),
    ),
  }),
)

export function collectionRoutes(routes: Routes, { services, limits }: GatewayContext): void {
  routes.add(
    {
      method: 'get',
      path: '/v1/collections',
      permission: 'caller',
      tag: 'Search',
      summary: 'All collections',
      answers: {
        200: {
          description: 'Collections with their sizes.',
          content: {
            'application/json': {
              schema: collections,
              example: {
                collections: [{ name: 'tickets', count: 42, dimension: 384, fields: ['subject'], fingerprint: 'e3b0' }],
              },
            },
          },
        },
      },
      problems: [503],
    },
    async (c) => {
      const store = await services.vectors()
      const known = (await store.collections()).filter(({ spec }) => mayAny(c, ['search'], spec.name))
      const shown = known.map(({ spec: { name, dimension, fields, fingerprint }, count }) => {
        return { name, count, dimension, fields, fingerprint }
      })
      return c.json({ collections: shown })
    },
  )

  routes.add(
    {
      method: 'post',
      path: '/v1/collections/{collection}/search',
      permission: { action: 'search', name: '{collection}' },
      tag: 'Search',
      summary: 'What means about the same, and has the same words',
      body: {
        'application/json': {
          schema: searchBody,
          example: { text: 'charged twice', k: 5, filter: { category: { $eq: 'billing' } }, hybrid: true },
        },
      },
      answers: {
        200: {
          description: 'The nearest, best first.',
          content: {
            'application/json': {
              schema: matches,
              example: {
                matches: [
                  {
                    id: 'support.tickets/0/41',
                    score: 0.69,
                    similarity: 0.71,
                    words: 0.65,
                    fields: { category: 'billing', subject: 'Charged twice' },
                    timestamp: 1764000000000,
                    position: { topic: 'support.tickets', partition: 0, offset: 41 },
                  },
                ],
              },
            },
          },
        },
      },
      problems: [400, 404, 409, 413, 503],
    },
    async (c) => {
      const { text, vector, hybrid, ...asked } = await readJson(c, searchBody, limits.bodyBytes)
      const collection = await findCollection(c, await services.vectors(), pathParameter(c, 'collection'))
      const filter = withRows(collection, asked.filter, c.get('rows'))
      const query = vector ? Float32Array.from(vector) : await embed(await services.embedder(), collection, text ?? '')
      const weight = hybrid === true ? defaultWordsWeight : hybrid === false ? undefined : hybrid.weight
      const words = text === undefined || weight === undefined ? undefined : { text, weight }
      const matches = await search(collection, { ...asked, filter, vector: query, words })
      const hint = words !== undefined && matches.length > 0 && !matches.some(hasText) ? noTexts : undefined
      return c.json({ matches, hint })
    },
  )
}

async function findCollection(c: Context, store: VectorStore, name: string): Promise<Collection> {
  const collection = await store.find(name)
  if (collection) return collection
  const all = (await store.collections()).map(({ spec }) => spec.name)
  const known = all.filter((each) => mayAny(c, ['search'], each))
  const nearest = didYouMean(name, known)
  throw new NotFound({
    code: 'collection_not_found',
    message: `There is no collection "${name}"${nearest === '' ? '.' : nearest}`,
    hint: 'A collection is made by the first event that a pipeline with a "vectors" sink writes.',
  })
}

/**
 * The filter of a search that finds only what the caller sees. Throws `Forbidden` (`rows_unknown`) for a collection without
 * the fields that tell: it would hold everyone's.
 */
function withRows({ spec }: Collection, filter: Filter | undefined, rows: RowFilter | undefined): Filter | undefined {
  if (rows === undefined) return filter
  const told = rows.filter((alternative) => Object.keys(alternative).every((field) => spec.fields.includes(field)))
  if (told.length === 0) {
    const fields = [...new Set(rows.flatMap(Object.keys))].map((field) => `"${field}"`).join(' and ')
    throw new Forbidden({
      code: 'rows_unknown',
      message: `Collection "${spec.name}" does not have ${fields}, by which your rows are told.`,
      hint: 'Name the field under `fields:` of the "vectors" sink that writes it.',
    })
  }
  const own: Filter = { $or: told.map((alternative): Filter => ({ $and: Object.entries(alternative).map(equal) })) }
  return filter === undefined ? own : { $and: [own, filter] }
}

function equal([field, value]: readonly [string, Scalar]): Filter {
  return { [field]: { $eq: value } }
}

const noTexts =
  'None of these matches has a field with a text, so there were no words to look for. Name fields with texts under `fields:` of the "vectors" sink.'

function hasText({ fields }: Match): boolean {
  return Object.values(fields).some((value) => typeof value === 'string')
}

/** A text can only be compared with vectors of the same model. */
async function embed(embedder: Embedder, { spec }: Collection, text: string): Promise<Float32Array> {
  if (spec.fingerprint !== embedder.fingerprint) {
    throw new InvalidRequest(409, {
      code: 'fingerprint_mismatch',
      message: `The vectors of "${spec.name}" were not made by ${embedder.model}, so a text cannot be compared with them.`,
      hint: 'Search by "vector", run the embedder that made the collection, or build the collection anew.',
    })
  }
  const [vector] = await embedder.embed([text], { priority: 'query', purpose: 'query' })
  return vector ?? new Float32Array(0)
}
