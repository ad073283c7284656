import { z } from 'zod'
import { byteSize, duration } from '../core/units.ts'

const text = z.string().min(1)

const remote = z.strictObject({
  url: z
    .url({
      protocol: /^https?$/,
      error: 'expected the http(s) address of an OpenAI-compatible API, such as https://api.openai.com/v1',
    })
    .describe('The address before `/embeddings`, such as `https://api.openai.com/v1`.'),
  apiKey: text
    .regex(/^[!-~]+$/, 'a key is one word of plain ASCII')
    .optional()
    .describe('What is sent as bearer token.'),
  batch: z.int().min(1).max(2_048).default(256).describe('Most texts in one request.'),
  batchTokens: z.int().min(1).default(50_000).describe('Most tokens in one request, as far as they are known before.'),
  concurrency: z.int().min(1).max(64).default(4).describe('Most requests at a time.'),
  requestsPerMinute: z.int().min(1).optional().describe('Most requests in a minute. Left out: no limit of our own.'),
  tokensPerMinute: z.int().min(1).optional().describe('Most tokens in a minute. Left out: no limit of our own.'),
  timeout: duration().prefault('30s').describe('How long one request may take.'),
})

/** The section `embedder` of `millrace.yaml`. */
export const embedderSettings = z.strictObject({
  model: text
    .default('all-MiniLM-L6-v2')
    .describe(
      'The embedding model: a name in models/, a folder that begins with `.` or `/`, or the owner/name of a model on the ' +
        'hub, which is downloaded once. With `remote`: its name there.',
    ),
  dtype: z
    .enum(['auto', 'fp32', 'fp16', 'q8', 'int8', 'uint8', 'q4', 'q4f16', 'bnb4'])
    .default('auto')
    .describe('Which of the weights that a model comes with. auto: q8 where there is one, otherwise fp32.'),
  dimension: z
    .int()
    .min(1)
    .max(65_536)
    .optional()
    .describe('Keeps the first numbers of each vector only, for models that were trained for that (Matryoshka).'),
  prefixes: z
    .strictObject({ query: z.string().optional(), passage: z.string().optional() })
    .prefault({})
    .describe(
      'What is put before texts that are looked for, and before those that are looked through. Default: as the model says.',
    ),
  workers: z
    .union([z.literal('auto'), z.int().min(1).max(64)], { error: 'expected auto or a number of workers from 1 to 64' })
    .default('auto')
    .describe('Worker threads that run the model. auto: as many as there are cores for them.'),
  cache: z
    .strictObject({
      memory: byteSize().prefault('64MiB').describe('Vectors that are kept in memory; 0 keeps none.'),
      disk: byteSize()
        .prefault('512MiB')
        .describe('Vectors that are kept under the data folder; 0 keeps none. With Redis they are kept there.'),
    })
    .prefault({})
    .describe('Vectors of texts that come again.'),
  hub: z
    .strictObject({
      url: z
        .url({ protocol: /^https?$/, error: 'expected the http(s) address of a model hub' })
        .default('https://huggingface.co')
        .describe('Where models are downloaded from.'),
      token: text.optional().describe('For models that are not open to everyone.'),
    })
    .prefault({})
    .describe('The model hub.'),
  remote: remote
    .optional()
    .describe('Computes vectors at an OpenAI-compatible server, such as a Millrace of the role `embedder`.'),
})
