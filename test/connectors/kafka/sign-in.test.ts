import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { openKafkaLog } from '../../../connectors/kafka/index.ts'
import { Fatal, Retryable } from '../../../src/core/errors.ts'
import { bytes, readAll, text } from '../../contracts/event-log-member.ts'
import { makeCertificates } from '../../services/certificates.ts'
import { startKafka } from '../../services/kafka.ts'
import { freePorts } from '../../services/ports.ts'
import { newServerFolder } from '../../services/run-folder.ts'
import { canStart } from '../../services/services.ts'
import { startTokenServer } from '../../services/token-server.ts'
import { settingsOf } from './settings.ts'

const user = { username: 'alice', password: 'alice-secret' }

/** Everything that opens connections: administration, appends with and without a transaction, reads. */
async function useIt(settings: ReturnType<typeof settingsOf>): Promise<void> {
  const log = await openKafkaLog(settings)
  try {
    const topic = `t-${randomUUID()}`
    await log.ensureTopic(topic)
    await log.append(topic, [{ key: null, value: bytes('a') }])
    await log.append(topic, [{ key: null, value: bytes('b') }], { once: { producer: topic, sequence: 1 } })
    expect((await readAll(log, topic)).map(({ value }) => text(value))).toEqual(['a', 'b'])
  } finally {
    await log.close()
  }
}

const refusal = (settings: ReturnType<typeof settingsOf>) =>
  openKafkaLog(settings).then(
    (log) => log.close(),
    (error: unknown) => error,
  )

describe.skipIf(!(await canStart('kafka')))('Kafka with sign-in', { timeout: 180_000 }, () => {
  test('lets in by name and password, and says what to check when it does not', async () => {
    await using kafka = await startKafka({ sasl: { mechanism: 'plain', ...user } })
    await useIt(settingsOf(kafka.brokers, { sasl: { mechanism: 'plain', ...user } }))
    const refused = await refusal(
      settingsOf(kafka.brokers, { sasl: { mechanism: 'plain', ...user, password: 'wrong-secret' } }),
    )
    expect(refused).toBeInstanceOf(Fatal)
    expect(refused).toMatchObject({ code: 'authentication_failed', hint: expect.stringContaining('kafka.sasl') })
    expect(String(refused)).not.toContain('wrong-secret')
  })

  test('lets in by SCRAM over TLS with certificates on both sides', async () => {
    const certificates = await makeCertificates(newServerFolder('certificates'))
    const sasl = { mechanism: 'scram-sha-512', ...user } as const
    await using kafka = await startKafka({ sasl, ssl: { certificates, clientCertificate: true } })
    const { authority: ca, client } = certificates
    await useIt(settingsOf(kafka.brokers, { tls: { ca, cert: client.certificate, key: client.key }, sasl }))
    const untrusted = await refusal(settingsOf(kafka.brokers, { ssl: true, sasl }))
    expect(untrusted).toMatchObject({ constructor: Fatal, code: 'tls_failed' })
    const missing = await refusal(settingsOf(kafka.brokers, { tls: { ca: `${ca}.gone` }, sasl }))
    expect(missing).toMatchObject({ code: 'file_unreadable' })
  })

  test('lets in by tokens of an OAuth server, which are used again', async () => {
    await using tokens = await startTokenServer()
    const { jwks, issuer, audience, tokenUrl, clientId, clientSecret } = tokens
    await using kafka = await startKafka({ sasl: { mechanism: 'oauthbearer', jwks, issuer, audience } })
    await useIt(settingsOf(kafka.brokers, { sasl: { mechanism: 'oauthbearer', tokenUrl, clientId, clientSecret } }))
    // One for each set of connections, however many brokers and connections there are.
    expect(tokens.issued()).toBeLessThanOrEqual(3)
    const refused = await refusal(
      settingsOf(kafka.brokers, { sasl: { mechanism: 'oauthbearer', tokenUrl, clientId, clientSecret: 'wrong' } }),
    )
    expect(refused).toMatchObject({ constructor: Fatal, code: 'authentication_failed' })
  })
})

test('a cluster that is not there may come back', async () => {
  const [port] = await freePorts(1)
  expect(await refusal(settingsOf(`127.0.0.1:${port}`))).toMatchObject({
    constructor: Retryable,
    code: 'log_unavailable',
    message: expect.stringContaining(`127.0.0.1:${port}`),
  })
})
