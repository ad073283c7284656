import type { Context } from 'hono'
import { z } from 'zod'
import type { Embedder } from '../core/embedder.ts'
import { MillraceError, Retryable } from '../core/errors.ts'
import { readJson } from './body.ts'
import type { EmbedderContext } from './context.ts'
import { InvalidRequest, problemResponse, retryAfter, toProblem } from './problem.ts'
import type { Handler, Routes } from './route.ts'
import { answer, request } from './schemas.ts'

const mostTexts = 2_048
const wanted = `expected a text, or a list of 1 to ${mostTexts} texts; lists of tokens are not taken, send the texts themselves`
const input = z
  .union([z.string(), z.array(z.string()).min(1, wanted).max(mostTexts, wanted)], {
    error: ({ input: given }) => (given === undefined ? 'is missing' : wanted),
  })
  .describe(`A text, or a list of 1 to ${mostTexts.toLocaleString('en')} texts.`)
const model = z.string().describe('The name of the model that runs here.')

const embeddingRequest = request(
  'EmbeddingRequest',
  z.object({
    model,
    input,
    encoding_format: z.enum(['float', 'base64']).default('float'),
    dimensions: z.int().min(1).optional().describe('Only the first numbers of each vector, brought to length 1.'),
    user: z.string().optional().describe('Ignored.'),
    input_type: z
      .enum(['query', 'passage'])
      .default('passage')
      .describe('Whether the texts are looked for, or looked through. Some models make different vectors of them.'),
    priority: z
      .enum(['query', 'bulk'])
      .optional()
      .describe('Queries overtake bulk work. Default: a single text is a query, and several are bulk work.'),
  }),
)
const embeddings = answer(
  'Embeddings',
  z.object({
    object: z.literal('list'),
    model: z.string(),
    data: z.array(
      z.object({
        object: z.literal('embedding'),
        index: z.int(),
        embedding: z
          .union([z.array(z.number()), z.string()])
          .describe('Numbers, or base64 of little-endian 32-bit floats.'),
      }),
    ),
    usage: z.object({ prompt_tokens: z.int(), total_tokens: z.int() }),
    fingerprint: z.string().describe('Of the model: vectors of the same fingerprint can be compared.'),
  }),
)
const models = answer(
  'Models',
  z.object({
    object: z.literal('list'),
    data: z.array(
      z.object({
        id: z.string(),
        object: z.literal('model'),
        created: z.int(),
        owned_by: z.literal('millrace'),
        millrace: z.object({
          fingerprint: z.string(),
          dimension: z.int(),
          maxTokens: z.int().describe('Longer texts are cut here.'),
          prefixes: z.object({ query: z.string(), passage: z.string() }).describe('Are put before texts here.'),
        }),
      }),
    ),
  }),
)
const tokenRequest = request('TokenRequest', z.object({ model, input }))
const tokens = answer(
  'Tokens',
  z.object({ model: z.string(), counts: z.array(z.int()).describe('By index, special tokens left out.') }),
)

/** What OpenAI's clients call, and what Millrace's own need beside it. */
export function embeddingRoutes(routes: Routes, { services, limits }: EmbedderContext): void {
  routes.add(
    {
      method: 'post',
      path: '/v1/embeddings',
      permission: { action: 'query', name: 'embeddings' },
      tag: 'Embeddings',
      summary: 'Texts to vectors, as OpenAI has it',
      description: 'Errors carry the `error` object that OpenAI clients read, beside the problem details.',
      body: {
        'application/json': {
          schema: embeddingRequest,
          example: { model: 'all-MiniLM-L6-v2', input: ['charged twice', 'how do I log in'] },
        },
      },
      answers: {
        200: {
          description: 'One vector of length 1 for each text.',
          content: {
            'application/json': {
              schema: embeddings,
              example: {
                object: 'list',
                model: 'all-MiniLM-L6-v2',
                data: [{ object: 'embedding', index: 0, embedding: [0.013, -0.044] }],
                usage: { prompt_tokens: 3, total_tokens: 3 },
                fingerprint: 'd76b3b4e8a0f4f3c9a1b2c3d4e5f6071',
              },
            },
          },
        },
      },
      problems: [400, 404, 413, 503],
    },
    asOpenAi(async (c) => {
      const body = await readJson(c, embeddingRequest, limits.bodyBytes)
      const embedder = await services.embedder()
      checkModel(body.model, embedder)
      checkDimensions(body.dimensions, embedder)
      const texts = [body.input].flat()
      // One text is someone waiting for an answer; many are work.
      const priority = body.priority ?? (texts.length === 1 ? 'query' : 'bulk')
      const options = { priority, purpose: body.input_type, signal: c.req.raw.signal }
      const [vectors, counts] = await Promise.all([embedder.embed(texts, options), embedder.countTokens(texts)])
      const encode = body.encoding_format === 'base64' ? base64 : (vector: Float32Array) => Array.from(vector)
      const data = vectors.map((vector, index) => {
        return { object: 'embedding', index, embedding: encode(cut(vector, body.dimensions)) }
      })
      const sum = counts.reduce((total, count) => total + count, 0)
      const usage = { prompt_tokens: sum, total_tokens: sum }
      return c.json({ object: 'list', model: embedder.model, data, usage, fingerprint: embedder.fingerprint })
    }),
  )

  routes.add(
    {
      method: 'get',
      path: '/v1/models',
      permission: { action: 'query', name: 'embeddings' },
      tag: 'Embeddings',
      summary: 'The model that runs here, as OpenAI lists models',
      answers: {
        200: {
          description: 'One model.',
          content: {
            'application/json': {
              schema: models,
              example: {
                object: 'list',
                data: [
                  {
                    id: 'all-MiniLM-L6-v2',
                    object: 'model',
                    created: 0,
                    owned_by: 'millrace',
                    millrace: {
                      fingerprint: 'd76b3b4e8a0f4f3c9a1b2c3d4e5f6071',
                      dimension: 384,
                      maxTokens: 256,
                      prefixes: { query: '', passage: '' },
                    },
                  },
                ],
              },
            },
          },
        },
      },
      problems: [503],
    },
    asOpenAi(async (c) => {
      const { model: id, fingerprint, dimension, maxTokens, prefixes } = await services.embedder()
      const millrace = { fingerprint, dimension, maxTokens, prefixes }
      return c.json({
        object: 'list',
        data: [{ id, object: 'model', created: 0, owned_by: 'millrace', millrace }],
      })
    }),
  )

  routes.add(
    {
      method: 'post',
      path: '/v1/tokens',
      permission: { action: 'query', name: 'embeddings' },
      tag: 'Embeddings',
      summary: 'How many tokens texts have',
      body: {
        'application/json': {
          schema: tokenRequest,
          example: { model: 'all-MiniLM-L6-v2', input: ['charged twice', 'how do I log in'] },
        },
      },
      answers: {
        200: {
          description: 'A count for each text.',
          content: {
            'application/json': { schema: tokens, example: { model: 'all-MiniLM-L6-v2', counts: [2, 5] } },
          },
        },
      },
      problems: [400, 404, 413, 503],
    },
    asOpenAi(async (c) => {
      const body = await readJson(c, tokenRequest, limits.bodyBytes)
      const embedder = await services.embedder()
      checkModel(body.model, embedder)
      return c.json({ model: embedder.model, counts: await embedder.countTokens([body.input].flat()) })
    }),
  )
}

/** Errors in the form that OpenAI's clients read, beside our own. */
function asOpenAi(handler: Handler): Handler {
  return async (c: Context) => {
    try {
      return await handler(c)
    } catch (caught) {
      if (!(caught instanceof MillraceError)) throw caught
      const error = passing(caught)
      const problem = toProblem(error)
      const type = problem.status < 500 ? 'invalid_request_error' : 'server_error'
      const forClients = { message: problem.detail, type, param: null, code: problem.code }
      const retry = retryAfter(error)
      const headers: Record<string, string> = retry === undefined ? {} : { 'retry-after': retry }
      return problemResponse(c, { ...problem, error: forClients }, headers)
    }
  }
}

/** A process that ends is replaced by another: the client should ask again, and not take its texts for the reason. */
function passing(error: MillraceError): MillraceError {
  if (error.code !== 'embedder_closed') return error
  return new Retryable({ code: 'stopping', message: 'The process is about to end.' })
}

/** A vector of another model than was asked for would be wrong without anyone noticing. */
function checkModel(asked: string, { model }: Embedder): void {
  const name = (path: string) => path.split('/').at(-1)?.toLowerCase()
  if (name(asked) === name(model)) return
  throw new InvalidRequest(404, {
    code: 'model_not_found',
    message: `This server runs the model "${model}", not "${asked}".`,
  })
}

function checkDimensions(asked: number | undefined, { model, dimension }: Embedder): void {
  if (asked === undefined || asked <= dimension) return
  throw new InvalidRequest(400, {
    code: 'unsupported_dimensions',
    message: `The vectors of "${model}" have ${dimension} dimensions, so they cannot have ${asked}.`,
  })
}

/** The first numbers, brought to length 1. */
function cut(vector: Float32Array, dimensions: number | undefined): Float32Array {
  if (dimensions === undefined || dimensions === vector.length) return vector
  const first = vector.subarray(0, dimensions)
  const length = Math.sqrt(first.reduce((sum, value) => sum + value * value, 0))
  return length === 0 ? first : first.map((value) => value / length)
}

function base64(vector: Float32Array): string {
  const view = new DataView(new ArrayBuffer(vector.length * 4))
  for (const [index, value] of vector.entries()) view.setFloat32(index * 4, value, true)
  return Buffer.from(view.buffer).toString('base64')
}
