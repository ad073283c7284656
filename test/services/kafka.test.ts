import { readFile } from 'node:fs/promises'
import { type Admin, Kafka, type KafkaConfig, logLevel } from 'kafkajs'
import { describe, expect, test } from 'vitest'
import { makeCertificates } from './certificates.ts'
import { startKafka } from './kafka.ts'
import { newServerFolder } from './run-folder.ts'
import { canStart } from './services.ts'
import { startTokenServer } from './token-server.ts'

type Settings = Omit<KafkaConfig, 'brokers'>

/** Connects, asks something, and closes again. */
async function ask<T>(broker: string, settings: Settings, question: (admin: Admin) => Promise<T>): Promise<T> {
  const kafka = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING, retry: { retries: 2 }, ...settings })
  const admin = kafka.admin()
  try {
    await admin.connect()
    return await question(admin)
  } finally {
    await admin.disconnect()
  }
}
const topics = (admin: Admin) => admin.listTopics()

describe.skipIf(!(await canStart('kafka')))('a Kafka that wants its clients to sign in', () => {
  const user = { username: 'alice', password: 'alice-secret' }

  test('by name and password, with settings of the test', { timeout: 120_000 }, async () => {
    await using kafka = await startKafka({
      sasl: { mechanism: 'plain', ...user },
      properties: { 'num.partitions': '7' },
    })
    const signIn = (password: string) => ({ sasl: { mechanism: 'plain', ...user, password } }) as const
    const made = await ask(kafka.brokers, signIn(user.password), async (admin) => {
      await admin.createTopics({ topics: [{ topic: 'made' }] })
      return await admin.fetchTopicMetadata({ topics: ['made'] })
    })
    expect(made.topics[0]?.partitions).toHaveLength(7)
    await expect(ask(kafka.brokers, signIn('wrong'), topics)).rejects.toThrow(/[Aa]uthentication/)
    await expect(ask(kafka.brokers, {}, topics)).rejects.toThrow()
    await expect(ask(kafka.internal, {}, topics)).resolves.toContain('made')
  })

  test('by SCRAM over TLS that asks for a certificate', { timeout: 120_000 }, async () => {
    const certificates = await makeCertificates(newServerFolder('certificates'))
    await using kafka = await startKafka({
      sasl: { mechanism: 'scram-sha-512', ...user },
      ssl: { certificates, clientCertificate: true },
    })
    const sasl = { mechanism: 'scram-sha-512', ...user } as const
    const read = (file: string) => readFile(file, 'utf8')
    const ca = await read(certificates.authority)
    const shown = { cert: await read(certificates.client.certificate), key: await read(certificates.client.key) }
    expect(await ask(kafka.brokers, { sasl, ssl: { ca, ...shown } }, topics)).toEqual([])
    await expect(ask(kafka.brokers, { sasl, ssl: { ca } }, topics)).rejects.toThrow()
    await expect(ask(kafka.brokers, { sasl, ssl: shown }, topics)).rejects.toThrow(/self-signed|unable to/)
  })

  test('by tokens', { timeout: 120_000 }, async () => {
    await using tokens = await startTokenServer()
    const { jwks, issuer, audience, clientId, clientSecret } = tokens
    await using kafka = await startKafka({ sasl: { mechanism: 'oauthbearer', jwks, issuer, audience } })
    const oauthBearerProvider = async () => {
      const body = new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: clientId,
        client_secret: clientSecret,
      })
      const answer: unknown = await (await fetch(tokens.tokenUrl, { method: 'POST', body })).json()
      if (typeof answer !== 'object' || answer === null || !('access_token' in answer)) throw new Error('no token')
      return { value: String(answer.access_token) }
    }
    const sasl = { mechanism: 'oauthbearer', oauthBearerProvider } as const
    expect(await ask(kafka.brokers, { sasl }, topics)).toEqual([])
    expect(tokens.issued()).toBeGreaterThan(0)
    const forged = { mechanism: 'oauthbearer', oauthBearerProvider: async () => ({ value: 'a.b.c' }) } as const
    await expect(ask(kafka.brokers, { sasl: forged }, topics)).rejects.toThrow()
  })
})
