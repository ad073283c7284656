import { z } from 'zod'
import { byteSize, duration } from '../core/units.ts'
import { topicName } from './pipeline-schema.ts'

const text = z.string().min(1)

/** A list, or one entry, or entries parted by commas, as environment variables have them. */
const textList = z
  .union([text, z.array(text)])
  .transform((value) => [value].flat().flatMap((entry) => entry.split(',').map((part) => part.trim())))

const topic = z.strictObject({
  partitions: z.int().min(1).max(1024).optional().describe('How many partitions. They can grow, never shrink.'),
  retention: duration().optional().describe('Events older than this may be dropped; 0 keeps them for ever.'),
  retentionBytes: byteSize().optional().describe('A partition larger than this drops its oldest events; 0: no bound.'),
  compact: z.boolean().optional().describe('Keep only the newest event of each key.'),
})

const server = z.strictObject({
  host: text.default('127.0.0.1').describe('The address to listen on. Any but a loopback address needs a token.'),
  port: z.int().min(0).max(65_535).default(8080).describe('The port to listen on; 0 takes a free one.'),
  token: text
    .min(16, 'a token has at least 16 characters')
    .optional()
    .describe('What clients must send as bearer token.'),
})

const query = z.strictObject({
  timeout: duration().prefault('30s').describe('How long one query may run.'),
  maxRows: z.int().min(1).default(10_000).describe('Most rows that one query may answer.'),
  maxMemory: byteSize().prefault('1GB').describe('Most memory that one query may use.'),
})

const embedder = z.strictObject({
  model: text.default('all-MiniLM-L6-v2').describe('The embedding model: a folder in models/.'),
  workers: z
    .union([z.literal('auto'), z.int().min(1).max(64)], { error: 'expected auto or a number of workers from 1 to 64' })
    .default('auto')
    .describe('Worker threads that run the model.'),
})

const kafka = z.strictObject({
  brokers: textList.describe('host:port of some brokers.'),
  clientId: text.default('millrace').describe('How this process names itself to the brokers.'),
  ssl: z.boolean().default(false).describe('Speak TLS.'),
  sasl: z
    .strictObject({
      mechanism: z.enum(['plain', 'scram-sha-256', 'scram-sha-512']),
      username: text,
      password: text,
    })
    .optional()
    .describe('How to sign in.'),
})

const login = { username: text.optional(), password: z.string().optional() }

const vectors = z.strictObject({
  lancedb: z.strictObject({}).optional().describe('LanceDB under the data folder: the default.'),
  milvus: z.strictObject({ address: text, token: text.optional(), database: text.optional(), ...login }).optional(),
  pinecone: z.strictObject({ apiKey: text, index: text.optional() }).optional(),
  qdrant: z.strictObject({ url: z.url(), apiKey: text.optional() }).optional(),
  pgvector: z.strictObject({ url: z.url() }).optional(),
})

/** `millrace.yaml`. The single origin of validation, defaults and the environment's twins. */
export const runtimeSchema = z.strictObject({
  data: text.default('./data').describe('The folder for everything that is embedded.'),
  pipelines: textList.prefault('pipelines/*.yaml').describe('Globs of the pipeline files.'),
  schemas: text.default('schemas').describe('The folder of event schemas by topic.'),
  server: server.prefault({}).describe('The HTTP API, the live protocol and the dashboard.'),
  defaults: topic.prefault({}).describe('Settings of topics that do not say otherwise.'),
  topics: z.record(topicName, topic).default({}).describe('Settings of single topics.'),
  query: query.prefault({}).describe('Limits of SQL queries through the API.'),
  embedder: embedder.prefault({}).describe('How texts become vectors.'),
  kafka: kafka.optional().describe('Binds topics to a Kafka cluster.'),
  schemaRegistry: z
    .strictObject({ url: z.url(), ...login })
    .optional()
    .describe('Binds schemas to a registry.'),
  clickhouse: z
    .strictObject({
      url: z.url({ protocol: /^https?$/, error: 'expected the http(s) address of a ClickHouse server' }),
      username: text.default('default'),
      password: z.string().default(''),
      database: text.default('default'),
    })
    .optional()
    .describe('Binds tables to a ClickHouse server.'),
  vectors: vectors.optional().describe('Binds collections to a vector store; name one.'),
  redis: z.strictObject({ url: z.url() }).optional().describe('Binds channels to Redis.'),
})

export type RuntimeSettings = z.infer<typeof runtimeSchema>
