import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Kafka, logLevel } from 'kafkajs'
import { artefact, missingArtefact, missingCommand } from './artefacts.ts'
import type { Certificates } from './certificates.ts'
import { freePorts } from './ports.ts'
import { newServerFolder } from './run-folder.ts'
import { type LocalServer, startServer } from './server.ts'

export interface KafkaServer extends LocalServer {
  /** `host:port` of the listener that the options describe. */
  readonly brokers: string
  /** `host:port` of a listener without TLS and sign-in, for what a test has to arrange. */
  readonly internal: string
}

/** How clients sign in at `brokers`. */
export type KafkaSignIn =
  | {
      readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
      readonly username: string
      readonly password: string
    }
  | { readonly mechanism: 'oauthbearer'; readonly jwks: string; readonly issuer: string; readonly audience: string }

export interface KafkaOptions {
  readonly sasl?: KafkaSignIn
  /** Speaks TLS with these; `clientCertificate` asks the clients for one of the same authority. */
  readonly ssl?: { readonly certificates: Certificates; readonly clientCertificate?: boolean }
  /** Further lines of server.properties; they outrank what is set here. */
  readonly properties?: Readonly<Record<string, string>>
}

const run = promisify(execFile)
const java = ['-Xmx512m', '-XX:+UseSerialGC', '-Dlog4j2.level=INFO']

/** Small enough for a test, and quick to hand out partitions. */
export const smallBroker: Readonly<Record<string, string>> = {
  'offsets.topic.replication.factor': '1',
  'offsets.topic.num.partitions': '4',
  'transaction.state.log.replication.factor': '1',
  'transaction.state.log.min.isr': '1',
  'transaction.state.log.num.partitions': '4',
  'share.coordinator.state.topic.replication.factor': '1',
  'share.coordinator.state.topic.min.isr': '1',
  'share.coordinator.state.topic.num.partitions': '4',
  'group.initial.rebalance.delay.ms': '0',
  'group.min.session.timeout.ms': '1000',
  'auto.create.topics.enable': 'false',
}

export async function kafkaMissing(): Promise<string | undefined> {
  return missingArtefact('kafka', 'libs', 'kafka_2.13-4.1.0.jar') ?? (await missingCommand('java', '-version'))
}

/** A Kafka of one node that is broker and controller. What it has acknowledged survives `kill()`. */
export async function startKafka(options: KafkaOptions = {}): Promise<KafkaServer> {
  const [client = 0, internal = 0, controller = 0] = await freePorts(3)
  const folder = newServerFolder('kafka')
  const properties = {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${controller}`,
    listeners: `CLIENT://127.0.0.1:${client},INTERNAL://127.0.0.1:${internal},CONTROLLER://127.0.0.1:${controller}`,
    'listener.security.protocol.map': `CLIENT:${protocolOf(options)},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT`,
    'inter.broker.listener.name': 'INTERNAL',
    'controller.listener.names': 'CONTROLLER',
    'log.dirs': join(folder, 'data'),
    ...smallBroker,
    ...signInProperties(options.sasl),
    ...tlsProperties(options.ssl),
    ...options.properties,
  }
  const server = await runKafka(folder, properties, `127.0.0.1:${internal}`, options.sasl)
  return { ...server, brokers: `127.0.0.1:${client}`, internal: `127.0.0.1:${internal}` }
}

/** Starts Kafka with these properties alone, on a data folder that is new. `broker` is asked whether it serves. */
export async function runKafka(
  folder: string,
  properties: Readonly<Record<string, string>>,
  broker: string,
  sasl?: KafkaSignIn,
): Promise<LocalServer> {
  const file = join(folder, 'server.properties')
  await writeFile(file, linesOf(properties))
  await formatStorage(file, sasl)
  return await startServer({
    name: 'kafka',
    folder,
    command: 'java',
    args: [...java, ...allowedUrls(sasl), '-cp', artefact('kafka', 'libs', '*'), 'kafka.Kafka', file],
    ask: () => askKafka(broker),
  })
}

/** Whether a broker at `host:port` is registered and serves; the port alone answers earlier. */
export async function askKafka(broker: string): Promise<void> {
  const kafka = new Kafka({
    brokers: [broker],
    clientId: 'harness',
    logLevel: logLevel.NOTHING,
    retry: { retries: 0 },
    connectionTimeout: 2_000,
    requestTimeout: 2_000,
  })
  const admin = kafka.admin()
  try {
    await admin.connect()
    const { brokers } = await admin.describeCluster()
    if (brokers.length === 0) throw new Error('no broker has registered')
  } finally {
    await admin.disconnect()
  }
}

function protocolOf({ sasl, ssl }: KafkaOptions): string {
  if (sasl === undefined) return ssl === undefined ? 'PLAINTEXT' : 'SSL'
  return ssl === undefined ? 'SASL_PLAINTEXT' : 'SASL_SSL'
}

function signInProperties(sasl: KafkaSignIn | undefined): Record<string, string> {
  if (sasl === undefined) return {}
  const mechanism = sasl.mechanism.toUpperCase()
  const prefix = `listener.name.client.${sasl.mechanism}`
  const shared = { 'sasl.enabled.mechanisms': mechanism }
  if (sasl.mechanism === 'oauthbearer') {
    return {
      ...shared,
      [`${prefix}.sasl.jaas.config`]:
        'org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";',
      [`${prefix}.sasl.server.callback.handler.class`]:
        'org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler',
      'sasl.oauthbearer.jwks.endpoint.url': sasl.jwks,
      'sasl.oauthbearer.expected.issuer': sasl.issuer,
      'sasl.oauthbearer.expected.audience': sasl.audience,
    }
  }
  const plain = 'org.apache.kafka.common.security.plain.PlainLoginModule'
  const scram = 'org.apache.kafka.common.security.scram.ScramLoginModule'
  return {
    ...shared,
    [`${prefix}.sasl.jaas.config`]:
      sasl.mechanism === 'plain' ? `${plain} required user_${sasl.username}="${sasl.password}";` : `${scram} required;`,
  }
}

function tlsProperties(ssl: KafkaOptions['ssl']): Record<string, string> {
  if (ssl === undefined) return {}
  const { certificates, clientCertificate = false } = ssl
  return {
    'ssl.keystore.type': 'PKCS12',
    'ssl.keystore.location': certificates.server.pkcs12,
    'ssl.keystore.password': certificates.password,
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.location': certificates.authority,
    // Without the listener's name it would not count beside SASL.
    'listener.name.client.ssl.client.auth': clientCertificate ? 'required' : 'none',
  }
}

/** Gives the data folder its id, and its users, who are stored there. */
async function formatStorage(file: string, sasl: KafkaSignIn | undefined): Promise<void> {
  // The first digit keeps it from beginning with a minus sign, which would be taken for a flag.
  const id = Buffer.from(`4${randomUUID().replaceAll('-', '').slice(1)}`, 'hex').toString('base64url')
  const users =
    sasl === undefined || !sasl.mechanism.startsWith('scram') || !('username' in sasl)
      ? []
      : ['--add-scram', `${sasl.mechanism.toUpperCase()}=[name=${sasl.username},password=${sasl.password}]`]
  const tool = ['-Xmx128m', '-XX:TieredStopAtLevel=1', '-cp', artefact('kafka', 'libs', '*'), 'kafka.tools.StorageTool']
  await run('java', [...tool, 'format', '-t', id, '-c', file, ...users])
}

/** Since Kafka 4.0 a broker fetches keys only from where it was told to. */
function allowedUrls(sasl: KafkaSignIn | undefined): string[] {
  return sasl?.mechanism === 'oauthbearer' ? [`-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=${sasl.jwks}`] : []
}

const linesOf = (properties: Readonly<Record<string, string>>): string =>
  Object.entries(properties)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')
