import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { leaves, twinOf } from '../../src/config/environment.ts'
import { liveLimits } from '../../src/config/limits-schema.ts'
import { InvalidConfig } from '../../src/config/problem.ts'
import { loadRuntime, redacted, topicConfig } from '../../src/config/runtime.ts'
import { runtimeSchema } from '../../src/config/runtime-schema.ts'

let cwd: string
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'millrace-runtime-'))
})
afterAll(() => rm(cwd, { recursive: true }))

let count = 0
async function load(text: string | undefined, env: Record<string, string> = {}) {
  if (text === undefined) return loadRuntime({ env, cwd })
  count += 1
  const file = `runtime-${count}.yaml`
  await writeFile(join(cwd, file), text)
  return loadRuntime({ file, env, cwd })
}

async function problems(text: string | undefined, env: Record<string, string> = {}): Promise<string[]> {
  const error = await load(text, env).catch((reason: unknown) => reason)
  if (!(error instanceof InvalidConfig)) throw new Error(`no problem: ${JSON.stringify(error)}`)
  return error.problems.map(({ file, line, column, code, message }) => {
    return `${line === 0 ? file : `${line}:${column}`} ${code}: ${message}`
  })
}

describe('the runtime', () => {
  test('nothing at all is enough', async () => {
    const runtime = await load(undefined)
    expect(runtime).toEqual({
      data: join(cwd, 'data'),
      pipelines: ['pipelines/*.yaml'],
      queries: ['queries/*.yaml'],
      schemas: join(cwd, 'schemas'),
      server: { host: '127.0.0.1', port: 8080, access: [], origins: [], limits: liveLimits.parse({}) },
      defaults: {},
      topics: {},
      http: {},
      query: { timeout: 30_000, maxRows: 10_000, maxMemory: 1e9 },
      role: 'all',
      embedder: {
        model: 'all-MiniLM-L6-v2',
        dtype: 'auto',
        prefixes: {},
        workers: 'auto',
        cache: { memory: 64 * 2 ** 20, disk: 512 * 2 ** 20 },
        hub: { url: 'https://huggingface.co' },
      },
      file: undefined,
      base: cwd,
    })
    expect(await load('# nothing\n')).toMatchObject({ server: { port: 8080 } })
  })

  test('the file, with references to the environment, each read as its setting wants it', async () => {
    const text = `data: "\${HOME_DIR}/data"
server: { port: "\${PORT:-9000}", token: "\${TOKEN}" }
pipelines: [a.yaml, 'b/$\${x}.yaml']
embedder: { workers: 3 }
topics: { 'a.b': { partitions: "\${PARTS}", retention: 1h, compact: true } }
defaults: { partitions: 2 }
`
    const runtime = await load(text, { HOME_DIR: '/srv', TOKEN: '1234567890123456', PARTS: '8' })
    expect(runtime).toMatchObject({
      data: '/srv/data',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: what stands in the file
      pipelines: ['a.yaml', 'b/${x}.yaml'],
      server: { port: 9_000, token: '1234567890123456' },
      embedder: { workers: 3 },
    })
    expect(topicConfig(runtime, 'a.b')).toEqual({
      partitions: 8,
      retentionMs: 3_600_000,
      compact: true,
    })
    // What is not said is left as the topic has it.
    expect(topicConfig(runtime, 'constructor')).toEqual({ partitions: 2 })
  })

  test('a twin outranks the file, the file outranks a customary name', async () => {
    const text = 'server: { port: 1 }\nclickhouse: { url: http://file:8123, database: d }\n'
    const env = {
      MILLRACE_SERVER_PORT: '2',
      CLICKHOUSE_URL: 'http://customary:8123',
      MILLRACE_CLICKHOUSE_DATABASE: 'e',
    }
    expect(await load(text, env)).toMatchObject({
      server: { port: 2 },
      clickhouse: { url: 'http://file:8123', database: 'e', username: 'default' },
    })
    expect((await load('data: x', env)).clickhouse?.url).toBe('http://customary:8123')
    expect((await load('data: x', { ...env, CLICKHOUSE_URL: '', MILLRACE_CLICKHOUSE_DATABASE: '' })).clickhouse).toBe(
      undefined,
    )
    expect((await load(undefined, { MILLRACE_PIPELINES: 'a.yaml, b.yaml' })).pipelines).toEqual(['a.yaml', 'b.yaml'])
  })

  test.each<[text: string, env: Record<string, string>, expected: object]>([
    [
      'redis: { sentinels: "a:1,b:2", name: main }',
      { REDIS_URL: 'redis://customary' },
      { redis: { sentinels: ['a:1', 'b:2'], name: 'main', prefix: 'millrace' } },
    ],
    ['redis: { prefix: p }', { REDIS_URL: 'redis://customary' }, { redis: { url: 'redis://customary', prefix: 'p' } }],
    [
      'embedder: { model: a/b }',
      { HF_ENDPOINT: 'https://mirror.example', HF_TOKEN: 'hf' },
      { embedder: { model: 'a/b', hub: { url: 'https://mirror.example', token: 'hf' } } },
    ],
    ['vectors: { lancedb: {} }', { MILVUS_ADDRESS: 'a:1', PINECONE_API_KEY: 'k' }, { vectors: { lancedb: {} } }],
    ['vectors: { milvus: { database: d } }', { MILVUS_ADDRESS: 'a:1' }, { vectors: { milvus: { address: 'a:1' } } }],
    [
      'data: x',
      { MILLRACE_VECTORS_QDRANT_URL: 'http://q', MILVUS_ADDRESS: 'a:1' },
      { vectors: { qdrant: { url: 'http://q' } } },
    ],
  ])('a customary name does not meddle with another choice: %j with %j', async (text, env, expected) => {
    const runtime = await load(text, env)
    expect(runtime).toMatchObject(expected)
    expect(Object.values(runtime.vectors ?? {}).filter((store) => store !== undefined).length).toBeLessThanOrEqual(1)
  })

  test('every setting has a twin, and no two have the same', () => {
    const twins = leaves(runtimeSchema).map(twinOf)
    expect(new Set(twins).size).toBe(twins.length)
    expect(twins).toEqual(
      expect.arrayContaining([
        'MILLRACE_DATA',
        'MILLRACE_SERVER_PORT',
        'MILLRACE_DEFAULTS_RETENTION_BYTES',
        'MILLRACE_SCHEMA_REGISTRY_URL',
        'MILLRACE_KAFKA_SASL_PASSWORD',
        'MILLRACE_EMBEDDER_WORKERS',
      ]),
    )
  })

  test.each<[text: string | undefined, env: Record<string, string>, expected: string[]]>([
    ['serve: {}', {}, ['1:1 unknown_key: unknown key "serve", did you mean "server"?']],
    ['server:\n  prot: 1', {}, ['2:3 unknown_key: unknown key "prot", did you mean "port"?']],
    ['server:\n  port: abc', {}, ['2:9 wrong_type: server.port: expected a number, got "abc"']],
    ['server: { port: 70000 }', {}, ['1:17 bad_value: server.port: expected at most 65535, got 70000']],
    [
      // biome-ignore lint/suspicious/noTemplateCurlyInString: what stands in the file
      'data: "${NO}/${WHERE}"',
      {},
      ['NO', 'WHERE'].map((n) => `1:7 variable_missing: the environment variable ${n} is not set`),
    ],
    [
      // biome-ignore lint/suspicious/noTemplateCurlyInString: what stands in the file
      'server: { port: ${PORT} }',
      {},
      ['1:18 yaml_syntax: "${" begins a mapping here'],
    ],
    ['- a', {}, ['1:1 wrong_type: a runtime file is a mapping of settings, such as `data: ./data`']],
    [
      undefined,
      { MILLRACE_SERVER_PORT: 'x' },
      ['environment variable MILLRACE_SERVER_PORT wrong_type: expected a number, got "x"'],
    ],
    [
      undefined,
      { MILLRACE_SERVER_PORT: '99999' },
      ['environment variable MILLRACE_SERVER_PORT bad_value: expected at most 65535, got 99999'],
    ],
    ['server: { token: short }', {}, ['1:18 bad_value: server.token: a token has at least 16 characters']],
    ['server: { token: 12 }', {}, ['1:18 wrong_type: server.token: expected text']],
    [
      'server: { host: 0.0.0.0 }',
      {},
      [
        '1:17 authentication_required: server.host: listening on 0.0.0.0 lets others in: set server.token (MILLRACE_SERVER_TOKEN), server.jwt or server.tls.clients as well',
      ],
    ],
    [
      'embedder: { remote: { url: "http://user:secret@e/v1" } }',
      {},
      ['1:28 credentials_in_url: embedder.remote.url: no credentials in the address: set embedder.remote.apiKey'],
    ],
    [
      'embedder: { remote: { url: "http://e/v1", apiKey: "two words" } }',
      {},
      ['1:51 bad_value: embedder.remote.apiKey: a key is one word of plain ASCII'],
    ],
    [
      'role: embeder',
      {},
      [
        '1:7 bad_value: role: expected "all", "processor", "gateway" or "embedder", got "embeder", did you mean "embedder"?',
      ],
    ],
    [
      undefined,
      { MILLRACE_EMBEDDER_REMOTE_API_KEY: 'k' },
      ['environment variable MILLRACE_EMBEDDER_REMOTE_API_KEY missing_option: "url" is missing'],
    ],
    [
      'kafka: { brokers: a:9092, sasl: { mechanism: plain, username: u } }',
      {},
      ['1:27 bad_value: kafka.sasl: plain and scram need a username and a password'],
    ],
    [
      'kafka: { brokers: a:9092, sasl: { mechanism: oauthbearer } }',
      {},
      ['1:27 bad_value: kafka.sasl: oauthbearer needs tokenUrl, clientId and clientSecret'],
    ],
    [
      'vectors: { milvus: { address: a }, qdrant: { url: "http://q" } }',
      {},
      ['1:1 bad_value: vectors: name one store'],
    ],
    ['redis: { prefix: x }', {}, ['1:1 bad_value: redis: name one of url, sentinels and cluster']],
    ['redis: { sentinels: a:1 }', {}, ['1:1 bad_value: redis.name: sentinels need the name of the primary']],
    ['redis: { cluster: "h:1:2" }', {}, ['1:19 bad_value: redis.cluster: expected host:port, or several of them']],
    ['kafka: { brokers: "a:1, b c" }', {}, ['1:19 bad_value: kafka.brokers: expected host:port, or several of them']],
    ['vectors: { milvus: { address: "http://" } }', {}, ['1:31 bad_value: vectors.milvus.address: expected host:port']],
    [
      'data: x',
      { MILVUS_ADDRESS: 'a:1', PINECONE_API_KEY: 'k' },
      ['environment variable MILVUS_ADDRESS bad_value: name one store'],
    ],
    [
      'redis: { url: "redis://h", ca: ca.pem }',
      {},
      ['1:1 bad_value: redis.ssl: "ca", "cert" and "key" need ssl, or a url that begins with rediss://'],
    ],
    [
      'clickhouse: { url: "http://h", ca: ca.pem }',
      {},
      ['1:20 bad_value: clickhouse.url: "ca", "cert" and "key" need an address that begins with https://'],
    ],
    [
      'kafka: { brokers: a, tls: { cert: c.pem } }',
      {},
      ['1:35 bad_value: kafka.tls.cert: "cert" and "key" go together: a certificate and its key'],
    ],
    [
      'http: { "https://crm.example/v1": { headers: {} } }',
      {},
      ['1:9 bad_value: expected an origin as browsers write it, such as https://crm.example, with nothing behind it'],
    ],
    [
      'http: { "https://crm.example": { headers: { a: "secret\\nb: secret", "b c": x, d: 12345678 } } }',
      {},
      [
        '1:48 bad_value: http.https://crm.example.headers.a: a header has one line, of Latin letters and signs',
        '1:69 bad_value: this cannot name a header',
        '1:82 wrong_type: http.https://crm.example.headers.d: expected text',
      ],
    ],
    [
      'vectors: { qdrant: { url: "localhost:6333" } }',
      {},
      ['1:27 bad_value: vectors.qdrant.url: expected the http(s) address of a Qdrant server'],
    ],
    [
      'vectors: { pgvector: { url: "postgres://u:secret @" } }',
      {},
      ['1:29 bad_value: vectors.pgvector.url: expected postgres://user:password@host:port/database'],
    ],
    [
      'topics: { "a b": {} }',
      {},
      ['1:11 bad_value: a topic name has letters, digits, ".", "_" and "-" (249 characters at most)'],
    ],
    [
      'topics: { a: { retention: 5 weeks } }',
      {},
      ['1:27 bad_value: topics.a.retention: expected a duration with its unit, such as 500ms, 10s, 5m, 1h or 7d'],
    ],
    ['clickhouse: {}', {}, ['1:1 missing_option: clickhouse.url: "url" is missing']],
    [
      'clickhouse: { url: "localhost:8123" }',
      {},
      ['1:20 bad_value: clickhouse.url: expected the http(s) address of a ClickHouse server'],
    ],
  ])('%j with %j', async (text, env, expected) => {
    expect(await problems(text, env)).toEqual(expected)
  })

  test('a file that was asked for must be there', async () => {
    await expect(loadRuntime({ file: 'none.yaml', env: {}, cwd })).rejects.toMatchObject({ code: 'runtime_unreadable' })
  })

  test('finds PEM files from its own folder on', async () => {
    const runtime = await load(
      'kafka: { brokers: a, tls: { ca: tls/ca.pem } }\n' +
        'schemaRegistry: { url: "https://r", cert: c.pem, key: /keys/k.pem }\n' +
        'clickhouse: { url: "https://c", ca: ca.pem }',
    )
    expect(runtime.kafka?.tls).toMatchObject({ ca: join(cwd, 'tls/ca.pem') })
    expect(runtime.schemaRegistry).toMatchObject({ cert: join(cwd, 'c.pem'), key: '/keys/k.pem' })
    expect(runtime.clickhouse).toMatchObject({ ca: join(cwd, 'ca.pem') })
  })

  test('is shown without its secrets', async () => {
    const runtime = await load(
      'server: { token: "abcdefghijklmnop" }\nclickhouse: { url: "http://me:hunter2@h:1", password: hunter2 }\n' +
        'kafka: { brokers: a, sasl: { mechanism: oauthbearer, tokenUrl: "https://t", clientId: i, clientSecret: hunter2 } }\n' +
        'vectors: { pgvector: { url: "postgres://u:hunter2@p/d" } }\nredis: { url: "redis://:hunter2@r" }',
    )
    const shown = JSON.stringify(redacted(runtime))
    expect(shown).not.toMatch(/hunter2|abcdefghijklmnop/)
    expect(shown).toContain('"url":"http://***@h:1"')
    const remote = await load(undefined, {
      MILLRACE_EMBEDDER_REMOTE_URL: 'http://e/v1',
      MILLRACE_EMBEDDER_REMOTE_API_KEY: 'hunter2',
    })
    expect(remote.embedder.remote).toMatchObject({ apiKey: 'hunter2', batch: 256, concurrency: 4, timeout: 30_000 })
    expect(JSON.stringify(redacted(remote))).not.toContain('hunter2')
  })
})
