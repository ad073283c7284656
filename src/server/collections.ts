import { z } from 'zod'
import type { Embedder } from '../core/embedder.ts'
import { NotFound } from '../core/errors.ts'
import { filterSchema } from '../core/filter.ts'
import { didYouMean } from '../core/nearest.ts'
import type { Collection, VectorStore } from '../core/vector-store.ts'
import { readJson } from './body.ts'
import type { ServerContext } from './context.ts'
import { InvalidRequest } from './problem.ts'
import { pathParameter, type Routes } from './route.ts'
import { answer, position, request } from './schemas.ts'

const search = request(
  'Search',
  z
    .strictObject({
      text: z.string().min(1).max(32_768).optional().describe('Is embedded with the model of the collection.'),
      vector: z.array(z.number()).min(1).max(16_384).optional(),
      k: z.int().min(1).max(1_000).default(10).describe('How many matches at most.'),
      filter: filterSchema.optional().describe('Condition on the fields: {"category": {"$eq": "billing"}}.'),
      minScore: z.number().min(-1).max(1).optional().describe('Least cosine similarity.'),
    })
    .refine(
      ({ text, vector }) => (text === undefined) !== (vector === undefined),
      'give exactly one of text and vector',
    ),
)
const fields = z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]))
const matches = answer(
  'Matches',
  z.object({
    matches: z.array(
      z.object({
        id: z.string(),
        score: z.number().describe('Cosine similarity, descending.'),
        fields,
        timestamp: z.number(),
        position,
      }),
    ),
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

export function collectionRoutes(routes: Routes, { services, limits }: ServerContext): void {
  routes.add(
    {
      method: 'get',
      path: '/v1/collections',
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
      const known = await store.collections()
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
      tag: 'Search',
      summary: 'What means about the same',
      body: {
        'application/json': {
          schema: search,
          example: { text: 'charged twice', k: 5, filter: { category: { $eq: 'billing' } }, minScore: 0.3 },
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
                    score: 0.71,
                    fields: { category: 'billing' },
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
      const { text, vector, k, filter, minScore } = await readJson(c, search, limits.bodyBytes)
      const collection = await findCollection(await services.vectors(), pathParameter(c, 'collection'))
      const query = vector ? Float32Array.from(vector) : await embed(await services.embedder(), collection, text ?? '')
      return c.json({ matches: await collection.search({ vector: query, k, filter, minScore }) })
    },
  )
}

async function findCollection(store: VectorStore, name: string): Promise<Collection> {
  const collection = await store.find(name)
  if (collection) return collection
  const known = (await store.collections()).map(({ spec }) => spec.name)
  const nearest = didYouMean(name, known)
  throw new NotFound({
    code: 'collection_not_found',
    message: `There is no collection "${name}"${nearest === '' ? '.' : nearest}`,
    hint: 'A collection is made by the first event that a pipeline with a "vectors" sink writes.',
  })
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
  const [vector] = await embedder.embed([text], { priority: 'query' })
  return vector ?? new Float32Array(0)
}
