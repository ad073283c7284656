import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isProcessIdentity, liveness, thisProcess } from '../../connectors/embedded-log/process.ts'
import { dockerAnswers, type Image, startContainer } from './docker.ts'
import { givenAddress } from './environment.ts'
import { askKafka, kafkaMissing, smallBroker, startKafka } from './kafka.ts'
import { askMilvus, milvusMissing, startMilvus } from './milvus.ts'
import { askRedis, redisMissing, startRedis } from './redis.ts'
import { askRegistry, compatiblePath, registryMissing, startRegistry } from './registry.ts'
import { runFolder } from './run-folder.ts'

export type ServiceName = 'kafka' | 'registry' | 'redis' | 'milvus'

interface Service {
  /** The variable that names a server which is there already. */
  readonly variable: string
  readonly image: Image
  /** The address of the server behind a port of 127.0.0.1. */
  readonly address: (port: number) => string
  readonly ask: (port: number) => Promise<void>
  /** Why it cannot be run as a process of this machine. */
  readonly missing: () => Promise<string | undefined> | string | undefined
  readonly start: () => Promise<string>
}

type Outcome = { readonly address: string } | { readonly reason: string }

const containerTimeoutMs = 120_000

const services: Readonly<Record<ServiceName, Service>> = {
  kafka: {
    variable: 'KAFKA_BROKERS',
    image: { name: 'apache/kafka:4.1.0', port: 9092, environment: kafkaEnvironment },
    address: (port) => `127.0.0.1:${port}`,
    ask: (port) => askKafka(`127.0.0.1:${port}`),
    missing: kafkaMissing,
    start: async () => (await startKafka()).brokers,
  },
  registry: {
    variable: 'SCHEMA_REGISTRY_URL',
    image: { name: 'apicurio/apicurio-registry-mem:2.5.11.Final', port: 8080 },
    address: (port) => `http://127.0.0.1:${port}${compatiblePath}`,
    ask: (port) => askRegistry(`http://127.0.0.1:${port}${compatiblePath}`),
    missing: registryMissing,
    start: async () => (await startRegistry()).url,
  },
  redis: {
    variable: 'REDIS_URL',
    image: { name: 'redis:7.4.2-bookworm', port: 6379 },
    address: (port) => `redis://127.0.0.1:${port}`,
    ask: (port) => askRedis(port),
    missing: redisMissing,
    start: async () => (await startRedis()).url,
  },
  milvus: {
    variable: 'MILVUS_ADDRESS',
    image: {
      name: 'milvusdb/milvus:v2.6.20',
      port: 19530,
      command: ['milvus', 'run', 'standalone'],
      environment: () => ({ DEPLOY_MODE: 'STANDALONE', ETCD_USE_EMBED: 'true', COMMON_STORAGETYPE: 'local' }),
    },
    address: (port) => `127.0.0.1:${port}`,
    ask: askMilvus,
    missing: milvusMissing,
    start: async () => (await startMilvus()).address,
  },
}

/** The containers in which tests find their servers where a Docker engine runs. */
export const images: Readonly<Record<ServiceName, string>> = {
  kafka: services.kafka.image.name,
  registry: services.registry.image.name,
  redis: services.redis.image.name,
  milvus: services.milvus.image.name,
}

/**
 * The address of a server for tests: `host:port`, for Redis `redis://host:port`, for the registry the http address with
 * its path. It is the one that the environment names; else a container, if a Docker engine answers; else a process of this
 * machine. All tests of a run share it, so names in it must be fresh. `undefined`, with the reason printed, if there is none;
 * an error if `CI=true`.
 */
export async function findService(name: ServiceName): Promise<string | undefined> {
  const service = services[name]
  const given = givenAddress(service.variable)
  if (given !== undefined) return given
  const outcome = await once(name, () => provide(service))
  if ('address' in outcome) return outcome.address
  return refuse(`no ${name} for tests (${service.variable} is not set): ${outcome.reason}`)
}

/** Whether a test can start a server of its own, as `startKafka()` and the like do. Told as by `findService`. */
export async function canStart(name: ServiceName): Promise<boolean> {
  const reason = await services[name].missing()
  if (reason !== undefined) refuse(`no ${name} of its own for a test: ${reason}`)
  return reason === undefined
}

function refuse(reason: string): undefined {
  if (process.env.CI === 'true') throw new Error(reason)
  console.warn(reason)
  return undefined
}

async function provide(service: Service): Promise<Outcome> {
  const problems: string[] = []
  if (await dockerAnswers()) {
    try {
      const port = await startContainer(service.image)
      await untilAnswered(() => service.ask(port))
      return { address: service.address(port) }
    } catch (error) {
      problems.push(`as a container: ${error}`)
    }
  } else problems.push('no Docker engine answers')
  try {
    const reason = await service.missing()
    if (reason === undefined) return { address: await service.start() }
    problems.push(reason)
  } catch (error) {
    problems.push(String(error))
  }
  return { reason: problems.join('; ') }
}

async function untilAnswered(ask: () => Promise<void>): Promise<void> {
  const deadline = Date.now() + containerTimeoutMs
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (Date.now() > deadline) throw error
      await sleep(250)
    }
  }
}

/** Lets one process of the run do the work; the others wait for its outcome. */
async function once(name: ServiceName, work: () => Promise<Outcome>): Promise<Outcome> {
  const lock = join(runFolder(), `${name}.lock`)
  const result = join(runFolder(), `${name}.json`)
  for (;;) {
    if (existsSync(result)) return outcomeFrom(readJson(result))
    if (tryLock(lock)) break
    const owner = readJson(lock)
    if (isProcessIdentity(owner) && liveness(owner) === 'dead') rmSync(lock, { force: true })
    await sleep(100)
  }
  // It may have been done between the two looks.
  if (existsSync(result)) return outcomeFrom(readJson(result))
  const outcome = await work()
  writeFileSync(result, JSON.stringify(outcome), { flag: 'wx' })
  return outcome
}

function tryLock(file: string): boolean {
  try {
    writeFileSync(file, JSON.stringify(thisProcess()), { flag: 'wx' })
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  }
}

/** `undefined` for what another process is just writing. */
function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}

function outcomeFrom(value: unknown): Outcome {
  if (typeof value === 'object' && value !== null) {
    if ('address' in value && typeof value.address === 'string') return { address: value.address }
    if ('reason' in value && typeof value.reason === 'string') return { reason: value.reason }
  }
  throw new Error('the outcome of the start cannot be read')
}

/** The image takes its settings from here, by the names of server.properties. */
function kafkaEnvironment(port: number): Record<string, string> {
  const properties: Record<string, string> = {
    'node.id': '1',
    'process.roles': 'broker,controller',
    listeners: 'PLAINTEXT://:9092,CONTROLLER://:9093',
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'controller.quorum.voters': '1@localhost:9093',
    ...smallBroker,
  }
  const entries = Object.entries(properties)
  return Object.fromEntries(entries.map(([name, value]) => [`KAFKA_${name.toUpperCase().replaceAll('.', '_')}`, value]))
}
