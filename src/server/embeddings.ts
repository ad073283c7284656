import { z } from 'zod'
import { MillraceError } from '../core/errors.ts'
import { readJson } from './body.ts'
import type { ServerContext } from './context.ts'
import { InvalidRequest, problemResponse, toProblem } from './problem.ts'
import type { Routes } from './route.ts'
import { answer, request } from './schemas.ts'

const embeddingRequest = request(
  'EmbeddingRequest',
  z.object({
    model: z.string().describe('The name of the model that runs here.'),
    input: z.union([z.string().min(1), z.array(z.string().min(1)).min(1).max(2_048)]),
    encoding_format: z.enum(['float', 'base64']).default('float'),
    dimensions: z.int().optional().describe("Only the model's own."),
    user: z.string().optional(),
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
  }),
)

export function embeddingRoutes(routes: Routes, { services, limits }: ServerContext): void {
  routes.add(
    {
      method: 'post',
      path: '/v1/embeddings',
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
              },
            },
          },
        },
      },
      problems: [400, 404, 413, 503],
    },
    async (c) => {
      try {
        const { model, input, encoding_format, dimensions } = await readJson(c, embeddingRequest, limits.bodyBytes)
        const embedder = await services.embedder()
        checkModel(model, dimensions, embedder.model, embedder.dimension)
        const texts = typeof input === 'string' ? [input] : input
        const signal = c.req.raw.signal
        // One text is someone waiting for an answer; many are work.
        const priority = texts.length === 1 ? 'query' : 'bulk'
        const vectors = await embedder.embed(texts, { priority, signal })
        const tokens = (await embedder.countTokens(texts)).reduce((sum, count) => sum + count, 0)
        const encode = encoding_format === 'base64' ? base64 : (vector: Float32Array) => Array.from(vector)
        const data = vectors.map((vector, index) => ({ object: 'embedding', index, embedding: encode(vector) }))
        const usage = { prompt_tokens: tokens, total_tokens: tokens }
        return c.json({ object: 'list', model: embedder.model, data, usage })
      } catch (error) {
        if (!(error instanceof MillraceError)) throw error
        const problem = toProblem(error)
        const type = problem.status < 500 ? 'invalid_request_error' : 'server_error'
        const forClients = { message: problem.detail, type, param: null, code: problem.code }
        return problemResponse(c, { ...problem, error: forClients })
      }
    },
  )
}

/** A vector of another model than was asked for would be wrong without anyone noticing. */
function checkModel(asked: string, dimensions: number | undefined, model: string, dimension: number): void {
  const name = (path: string) => path.split('/').at(-1)?.toLowerCase()
  if (name(asked) !== name(model)) {
    throw new InvalidRequest(404, {
      code: 'model_not_found',
      message: `This server runs the model "${model}", not "${asked}".`,
    })
  }
  if (dimensions !== undefined && dimensions !== dimension) {
    throw new InvalidRequest(400, {
      code: 'unsupported_dimensions',
      message: `The vectors of "${model}" have ${dimension} dimensions and cannot be cut to ${dimensions}.`,
    })
  }
}

function base64(vector: Float32Array): string {
  const view = new DataView(new ArrayBuffer(vector.length * 4))
  for (const [index, value] of vector.entries()) view.setFloat32(index * 4, value, true)
  return Buffer.from(view.buffer).toString('base64')
}
