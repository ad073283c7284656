import { z } from 'zod'
import { actions } from '../core/principal.ts'
import { duration } from '../core/units.ts'
import { liveLimits } from './limits-schema.ts'
import { topicName } from './pipeline-schema.ts'
import { textList } from './text-list.ts'

const text = z.string().min(1)

const secretAlgorithms = ['HS256', 'HS384', 'HS512'] as const
const publicAlgorithms = [
  ...(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const),
  ...(['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'] as const),
] as const

const jwt = z
  .strictObject({
    secret: text.optional().describe('What HS256, HS384 and HS512 sign with: 32, 48 and 64 bytes at least.'),
    publicKey: textList.optional().describe('PEM files with the public keys, or certificates, of those who sign.'),
    jwks: text
      .optional()
      .describe('The keys of those who sign, as a JSON Web Key Set: its http(s) address, or a file.'),
    issuer: textList.optional().describe('Who may have issued a token (`iss`): one of these.'),
    audience: textList.optional().describe('Whom a token must be meant for (`aud`): one of these.'),
    algorithms: textList
      .pipe(z.array(z.enum([...secretAlgorithms, ...publicAlgorithms])).min(1))
      .optional()
      .describe('How tokens may be signed. Default: all that the keys can be used with.'),
    clockTolerance: duration()
      .prefault('5s')
      .describe('How far the clock of the issuer may be off, when `exp` and `nbf` are looked at.'),
  })
  .refine(
    ({ secret, publicKey, jwks }) => [secret, publicKey, jwks].filter((way) => way !== undefined).length === 1,
    'name one of secret, publicKey and jwks',
  )
  .refine(
    // A public key that everyone has must never be taken for a secret.
    ({ secret, algorithms = [] }) => algorithms.every((name) => (secret !== undefined) === /^HS/.test(name)),
    { path: ['algorithms'], error: 'HS256, HS384 and HS512 go with a secret, all others with publicKey or jwks' },
  )

const pattern = text.refine(
  (name) => !/[{}]/.test(name.replaceAll(/\{[^{}]+\}/g, '')),
  'a claim stands in braces, such as {tenant_id}',
)
const patterns = z
  .union([pattern, z.array(pattern)])
  .transform((names) => [names].flat())
  .optional()

const claimName = text
const rule = z
  .strictObject({
    when: z
      .record(claimName, z.union([text, z.number(), z.boolean()]))
      .optional()
      .describe('Claims with the value that each must have, or have in its list.'),
    publish: patterns.describe('Topics that events may be appended to.'),
    subscribe: patterns.describe('Channels that may be followed, and topics whose events may be read.'),
    search: patterns.describe('Collections that may be searched.'),
    query: patterns.describe(
      'Queries that may be asked: named ones, `sql` for any SQL, `embeddings` for vectors of texts.',
    ),
    manage: patterns.describe('Topics and pipelines that may be made and changed, `server` for metrics.'),
    rows: z
      .record(text, claimName)
      .refine((fields) => Object.keys(fields).length > 0, 'name a field and the claim that has its value')
      .optional()
      .describe('Fields with the claim whose value they must have, in all that the rule grants.'),
  })
  .refine((given) => actions.some((action) => (given[action] ?? []).length > 0), {
    error: `the rule grants nothing: name what may be done, by ${actions.join(', ')}`,
  })
  .refine(({ rows, manage }) => rows === undefined || manage === undefined, {
    path: ['manage'],
    error: 'what is managed has no rows: grant it in a rule without "rows"',
  })

function isOrigin(given: string): boolean {
  return given === '*' || (URL.canParse(given) && new URL(given).origin === given)
}

const tls = z
  .strictObject({
    cert: text.describe('A PEM file with the certificate of the server, and those between it and its authority.'),
    key: text.describe('A PEM file with the key of that certificate.'),
    ca: text.optional().describe('A PEM file with the authorities that sign the certificates of clients.'),
    clients: z
      .enum(['optional', 'required'])
      .optional()
      .describe('Whether clients show a certificate. required: without one no connection comes about.'),
  })
  .refine(({ ca, clients }) => (ca === undefined) === (clients === undefined), {
    path: ['clients'],
    error: '"ca" and "clients" go together: whose certificates are trusted, and whether one has to be shown',
  })

/** The section `server` of `millrace.yaml`. */
export const serverSettings = z.strictObject({
  host: text
    .default('127.0.0.1')
    .describe('The address to listen on. Any but a loopback address needs a token, jwt or tls.clients.'),
  port: z.int().min(0).max(65_535).default(8080).describe('The port to listen on; 0 takes a free one.'),
  token: text
    .min(16, 'a token has at least 16 characters')
    .optional()
    .describe('Whoever sends it as bearer token may do everything.'),
  jwt: jwt.optional().describe('JSON Web Tokens that are taken. What their owners may do is said by `access`.'),
  access: z
    .array(rule)
    .default([])
    .describe('What those may do who show a JSON Web Token or a certificate. What no rule grants is refused.'),
  origins: textList
    .refine(
      (list) => list.every(isOrigin),
      'expected origins as browsers write them, such as https://app.example, or *',
    )
    .default([])
    .describe("Pages that may ask, besides the server's own and, on a loopback address, those of this machine."),
  limits: liveLimits.prefault({}).describe('What live clients may have of one process.'),
  tls: tls.optional().describe('Speak TLS, and nothing else. Files that change are read again.'),
  audit: z
    .union([
      z.literal(false),
      topicName.refine((name) => name !== 'false' && name !== 'true', 'name a topic, or false'),
    ])
    .optional()
    .describe(
      'The topic of the audit trail; false: none. Default: millrace.audit where callers must show who they are.',
    ),
})
