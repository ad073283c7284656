import { z } from 'zod'
import { roles } from '../core/role.ts'
import { byteSize, duration } from '../core/units.ts'
import { embedderSettings } from './embedder-schema.ts'
import { topicName } from './pipeline-schema.ts'
import { serverSettings } from './server-schema.ts'
import { textList } from './text-list.ts'

const text = z.string().min(1)

/** `host`, `host:port` or `[::1]:port`, with or without a scheme before it. */
function isAddress(text: string): boolean {
  const address = text.includes('://') ? text : `tcp://${text}`
  return URL.canParse(address) && new URL(address).hostname !== ''
}

const addresses = textList.refine((list) => list.every(isAddress), 'expected host:port, or several of them')

const topic = z.strictObject({
  partitions: z.int().min(1).max(1024).optional().describe('How many partitions. They can grow, never shrink.'),
  retention: duration().optional().describe('Events older than this may be dropped; 0 keeps them for ever.'),
  retentionBytes: byteSize().optional().describe('A partition larger than this drops its oldest events; 0: no bound.'),
  compact: z.boolean().optional().describe('Keep only the newest event of each key.'),
})

const query = z.strictObject({
  timeout: duration().prefault('30s').describe('How long one query may run.'),
  maxRows: z.int().min(1).default(10_000).describe('Most rows that one query may answer.'),
  maxMemory: byteSize().prefault('1GB').describe('Most memory that one query may use.'),
})

/** TLS by PEM files. Left out: the authorities that Node trusts. */
const tls = {
  ca: text.optional().describe('A PEM file with the authorities that are trusted, instead of those that Node knows.'),
  cert: text.optional().describe('A PEM file with the certificate of this process, where the server asks for one.'),
  key: text.optional().describe('A PEM file with the key of that certificate.'),
}

type Tls = { readonly [name in keyof typeof tls]?: string | undefined }

const pair = { path: ['cert'], error: '"cert" and "key" go together: a certificate and its key' }

function hasPair({ cert, key }: Tls): boolean {
  return (cert === undefined) === (key === undefined)
}

/** Whether PEM files are of use: without TLS nobody would look at them, and everything would go in the clear. */
function isSecure({ ca, cert, key, url, ssl = false }: Tls & { url?: string | undefined; ssl?: boolean }): boolean {
  return [ca, cert, key].every((file) => file === undefined) || ssl || /^(?:https|rediss):/.test(url ?? '')
}

const secureUrl = { path: ['url'], error: '"ca", "cert" and "key" need an address that begins with https://' }

const login = { username: text.optional(), password: z.string().optional() }

const kafka = z.strictObject({
  brokers: addresses.describe('host:port of some brokers.'),
  clientId: text.default('millrace').describe('How this process names itself to the brokers.'),
  ssl: z.boolean().default(false).describe('Speak TLS.'),
  tls: z.strictObject(tls).refine(hasPair, pair).optional().describe('What TLS trusts and shows. Implies ssl.'),
  sasl: z
    .strictObject({
      mechanism: z.enum(['plain', 'scram-sha-256', 'scram-sha-512', 'oauthbearer']),
      ...login,
      tokenUrl: z.url().optional().describe('oauthbearer: where tokens come from (OAuth 2.0 client credentials).'),
      clientId: text.optional().describe('oauthbearer: the client that asks for tokens.'),
      clientSecret: text.optional().describe('oauthbearer: its secret.'),
      scope: text.optional().describe('oauthbearer: the scope that is asked for.'),
    })
    .refine(
      ({ mechanism, username, password }) =>
        mechanism === 'oauthbearer' || (username !== undefined && password !== undefined),
      'plain and scram need a username and a password',
    )
    .refine(
      ({ mechanism, tokenUrl, clientId, clientSecret }) =>
        mechanism !== 'oauthbearer' || [tokenUrl, clientId, clientSecret].every((each) => each !== undefined),
      'oauthbearer needs tokenUrl, clientId and clientSecret',
    )
    .optional()
    .describe('How to sign in.'),
  sessionTimeout: duration()
    .prefault('20s')
    .describe('A process that is not heard of for so long loses its partitions to the others.'),
  linger: duration().prefault('0ms').describe('How long an append may wait for others to share its request.'),
  compression: z
    .enum(['none', 'gzip', 'snappy', 'lz4', 'zstd'])
    .default('lz4')
    .describe('How appended records are compressed. Every codec is read.'),
  replication: z
    .int()
    .min(1)
    .max(32_767)
    .optional()
    .describe("Replicas of topics that Millrace creates. Default: the brokers' own."),
})

const vectors = z.strictObject({
  lancedb: z.strictObject({}).optional().describe('LanceDB under the data folder: the default.'),
  milvus: z
    .strictObject({
      address: text.refine(isAddress, 'expected host:port'),
      token: text.optional(),
      database: text.optional(),
      ...login,
      ssl: z.boolean().default(false).describe('Speak TLS.'),
    })
    .optional()
    .describe('A Milvus server or cluster.'),
  pinecone: z
    .strictObject({
      apiKey: text,
      index: text.default('millrace').describe('The index; each collection is a namespace in it.'),
      host: z.url().optional().describe('Where the control plane is, for Pinecone Local.'),
      cloud: text.default('aws').describe('Where an index is made if it is not there.'),
      region: text.default('us-east-1').describe('The region for that.'),
    })
    .optional()
    .describe('Pinecone.'),
  qdrant: z
    .strictObject({
      url: z.url({ protocol: /^https?$/, error: 'expected the http(s) address of a Qdrant server' }),
      apiKey: text.optional(),
    })
    .optional()
    .describe('A Qdrant server or cluster.'),
  pgvector: z
    .strictObject({
      url: z.url({ protocol: /^postgres(?:ql)?$/, error: 'expected postgres://user:password@host:port/database' }),
    })
    .optional()
    .describe('PostgreSQL with the extension pgvector.'),
})

const node = /^(?:\[[^\]\s]+\]|[^\s:/]+)(?::\d{1,5})?$/
const nodes = textList.refine(
  (list) => list.every((entry) => node.test(entry)),
  'expected host:port, or several of them',
)

const redis = z
  .strictObject({
    url: z.url({ protocol: /^rediss?$/, error: 'expected redis://host:port or rediss://host:port' }).optional(),
    sentinels: nodes.optional().describe('host:port of the Sentinels, instead of a url.'),
    name: text.optional().describe('The name of the primary that the Sentinels watch.'),
    cluster: nodes.optional().describe('host:port of some nodes of a Redis Cluster, instead of a url.'),
    ...login,
    ssl: z.boolean().default(false).describe('Speak TLS to the Sentinels or the cluster; a url says so itself.'),
    ...tls,
    prefix: text.default('millrace').describe('What the names of all keys begin with.'),
  })
  .refine(
    ({ url, sentinels, cluster }) => [url, sentinels, cluster].filter((way) => way !== undefined).length === 1,
    'name one of url, sentinels and cluster',
  )
  .refine(({ sentinels, name }) => sentinels === undefined || name !== undefined, {
    path: ['name'],
    error: 'sentinels need the name of the primary',
  })
  .refine(hasPair, pair)
  .refine(isSecure, { path: ['ssl'], error: '"ca", "cert" and "key" need ssl, or a url that begins with rediss://' })

/** What a request can carry. A line break would end the header, and a sign that it cannot hold would stop every request. */
const headers = z.record(
  z.string().regex(/^[\w!#$%&'*+.^`|~-]+$/, 'this cannot name a header'),
  z
    .string()
    .trim()
    .regex(/^[\t -~\u0080-\u00ff]*$/, 'a header has one line, of Latin letters and signs'),
)

function isOrigin(text: string): boolean {
  return !URL.canParse(text) || new URL(text).origin === text
}

/** `millrace.yaml`. The single origin of validation, defaults and the environment's twins. */
export const runtimeSchema = z.strictObject({
  role: z
    .enum(roles)
    .default('all')
    .describe('What this process does: processor runs pipelines, gateway serves clients, embedder only embeds.'),
  data: text.default('./data').describe('The folder for everything that is embedded.'),
  pipelines: textList.prefault('pipelines/*.yaml').describe('Globs of the pipeline files.'),
  queries: textList.prefault('queries/*.yaml').describe('Globs of the files of named queries.'),
  schemas: text.default('schemas').describe('The folder of event schemas by topic.'),
  server: serverSettings.prefault({}).describe('The HTTP API, the live protocol and the dashboard.'),
  defaults: topic.prefault({}).describe('Settings of topics that do not say otherwise.'),
  topics: z.record(topicName, topic).default({}).describe('Settings of single topics.'),
  query: query.prefault({}).describe('Limits of SQL queries through the API.'),
  embedder: embedderSettings.prefault({}).describe('How texts become vectors.'),
  kafka: kafka.optional().describe('Binds topics to a Kafka cluster.'),
  schemaRegistry: z
    .strictObject({
      url: z.url({ protocol: /^https?$/, error: 'expected the http(s) address of a schema registry' }),
      ...login,
      token: text.optional().describe('A bearer token, instead of a user.'),
      ...tls,
    })
    .refine(hasPair, pair)
    .refine(isSecure, secureUrl)
    .optional()
    .describe('Binds schemas to a Confluent-compatible registry.'),
  clickhouse: z
    .strictObject({
      url: z.url({ protocol: /^https?$/, error: 'expected the http(s) address of a ClickHouse server' }),
      username: text.default('default'),
      password: z.string().default(''),
      database: text.default('default'),
      cluster: text
        .optional()
        .describe('The cluster as the servers name it: tables are made on all of it, and replicated.'),
      ...tls,
    })
    .refine(hasPair, pair)
    .refine(isSecure, secureUrl)
    .optional()
    .describe('Binds tables to a ClickHouse server or cluster.'),
  vectors: vectors
    .refine((named) => Object.values(named).filter((store) => store !== undefined).length <= 1, 'name one store')
    .optional()
    .describe('Binds collections to a vector store; name one.'),
  http: z
    .record(
      z
        .url({ protocol: /^https?$/, error: 'expected an origin, such as https://crm.example' })
        .refine(
          isOrigin,
          'expected an origin as browsers write it, such as https://crm.example, with nothing behind it',
        ),
      z.strictObject({
        headers: headers.describe('What requests to the origin carry, such as credentials.'),
      }),
    )
    .default({})
    .describe('Origins that lookups ask, such as `https://crm.example`.'),
  redis: redis.optional().describe('Binds channels, the cache of embeddings and the state of pipelines to Redis.'),
})

/** Settings of which one is given: where `url` of a section stands, `sentinels` does not. */
export const alternatives: Readonly<Record<string, readonly string[]>> = {
  vectors: Object.keys(vectors.shape),
  redis: ['url', 'sentinels', 'cluster'],
}

export type RuntimeSettings = z.infer<typeof runtimeSchema>
