import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { InvalidConfig } from '../../src/config/problem.ts'
import { loadRuntime, redacted } from '../../src/config/runtime.ts'

const secret = 'a secret that has thirty-two bytes, and some more'

async function load(text: string, env: Record<string, string> = {}) {
  const cwd = await mkdtemp(join(tmpdir(), 'millrace-runtime-'))
  onTestFinished(() => rm(cwd, { recursive: true, force: true }))
  await writeFile(join(cwd, 'millrace.yaml'), text)
  return loadRuntime({ env, cwd })
}

async function problems(text: string): Promise<string[]> {
  const error: unknown = await load(text).catch((caught: unknown) => caught)
  if (!(error instanceof InvalidConfig)) throw error
  return error.problems.map(({ line, code, message }) => `${line} ${code}: ${message}`)
}

const jwt = `jwt: { secret: "${secret}" }`

test('keys, rules and certificates are settings; paths start from the file, addresses stay', async () => {
  const runtime = await load(`
server:
  host: 0.0.0.0
  jwt: { jwks: keys.json, issuer: "https://id.example/, https://two.example/", audience: millrace, clockTolerance: 1m }
  access:
    - when: { realm_access.roles: admin, level: 3, verified: true }
      publish: orders
      subscribe: ["orders.{tenant_id}.*", "*"]
      rows: { customer.tenant: tenant_id }
  origins: ["https://app.example", "http://localhost:5173"]
  tls: { cert: tls.crt, key: /etc/tls.key, ca: ca.pem, clients: optional }
`)
  expect(runtime.server).toMatchObject({
    jwt: {
      jwks: join(runtime.base, 'keys.json'),
      issuer: ['https://id.example/', 'https://two.example/'],
      audience: ['millrace'],
      clockTolerance: 60_000,
    },
    access: [
      {
        when: { 'realm_access.roles': 'admin', level: 3, verified: true },
        publish: ['orders'],
        subscribe: ['orders.{tenant_id}.*', '*'],
        rows: { 'customer.tenant': 'tenant_id' },
      },
    ],
    origins: ['https://app.example', 'http://localhost:5173'],
    tls: { cert: join(runtime.base, 'tls.crt'), key: '/etc/tls.key', ca: join(runtime.base, 'ca.pem') },
  })
  const remote = await load('server: { jwt: { jwks: "https://id.example/keys" }, access: [{ search: x }] }')
  expect(remote.server.jwt?.jwks).toBe('https://id.example/keys')
})

test('variables of the environment are settings too; a list of rules has none', async () => {
  const env = { MILLRACE_SERVER_JWT_SECRET: secret, MILLRACE_SERVER_ORIGINS: 'https://a.example,https://b.example' }
  const runtime = await load('server: { access: [{ search: "*" }] }', env)
  expect(runtime.server).toMatchObject({ jwt: { secret }, origins: ['https://a.example', 'https://b.example'] })
})

test('a secret is shown nowhere', async () => {
  const runtime = await load(`server: { ${jwt}, access: [{ search: "*" }] }`)
  expect(JSON.stringify(redacted(runtime))).not.toContain(secret)
})

test.each([
  ['server: { host: 0.0.0.0 }', /^1 authentication_required: .*lets others in/],
  [`server: { ${jwt} }`, /^1 access_required: .*server\.access/],
  ['server: { token: "1234567890123456", access: [{ search: x }] }', /^1 access_unused: /],
  ['server: { access: [{ search: x }] }', /^1 access_unused: /],
  ['server: { tls: { cert: a, key: b, ca: c, clients: required } }', /^1 access_required: /],
  [`server: { ${jwt}, access: [{ serch: x }] }`, /unknown_key: unknown key "serch", did you mean "search"\?/],
  [`server: { ${jwt}, access: [{ when: { a: b } }] }`, /the rule grants nothing/],
  [`server: { ${jwt}, access: [{ search: x, rows: {} }] }`, /name a field and the claim/],
  [`server: { ${jwt}, access: [{ search: x, manage: y, rows: { a: b } }] }`, /what is managed has no rows/],
  [`server: { ${jwt}, access: [{ search: "{tenant" }] }`, /a claim stands in braces/],
  [`server: { ${jwt}, access: [{ search: "a{}" }] }`, /a claim stands in braces/],
  ['server: { jwt: { }, access: [{ search: x }] }', /name one of secret, publicKey and jwks/],
  [
    `server: { jwt: { secret: "${secret}", jwks: k }, access: [{ search: x }] }`,
    /name one of secret, publicKey and jwks/,
  ],
  ['server: { jwt: { jwks: k, algorithms: [HS256] }, access: [{ search: x }] }', /go with a secret/],
  [`server: { jwt: { secret: "${secret}", algorithms: [RS256] }, access: [{ search: x }] }`, /go with a secret/],
  ['server: { jwt: { jwks: k, algorithms: none }, access: [{ search: x }] }', /algorithms/],
  ['server: { tls: { cert: a } }', /missing_option: server\.tls\.key/],
  [
    'server: { tls: { cert: a, key: b, clients: required }, token: "1234567890123456" }',
    /"ca" and "clients" go together/,
  ],
  ['server: { tls: { cert: a, key: b, ca: c }, token: "1234567890123456" }', /"ca" and "clients" go together/],
  ['server: { origins: "app.example" }', /expected origins as browsers write them/],
  ['server: { origins: "https://app.example/" }', /expected origins as browsers write them/],
])('%s is a problem', async (text, expected) => {
  const found = await problems(text)
  expect(found.join('\n')).toMatch(expected)
  expect(found.join('\n')).not.toContain(secret)
})
