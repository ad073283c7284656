import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { ConfigResourceTypes, Kafka, logLevel } from 'kafkajs'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { runKafka } from '../services/kafka.ts'
import { freePorts } from '../services/ports.ts'
import { startRedis } from '../services/redis.ts'
import { startRegistry } from '../services/registry.ts'
import { newServerFolder } from '../services/run-folder.ts'
import { canStart } from '../services/services.ts'
import { environmentOf, serviceNamed } from './compose.ts'

/** What the image reads for itself; everything else that begins so is a line of server.properties. */
const notProperties = new Set(['KAFKA_HEAP_OPTS'])

function kafkaProperties(): [name: string, value: string][] {
  const entries = Object.entries(environmentOf('kafka')).filter(([name]) => !notProperties.has(name))
  return entries.map(([name, value]) => [
    name
      .replace(/^KAFKA_/, '')
      .toLowerCase()
      .replaceAll('_', '.'),
    value,
  ])
}

describe.skipIf(!(await canStart('kafka')))('Kafka with the settings of docker-compose.yml', () => {
  test('starts, and takes every one of them', { timeout: 120_000 }, async () => {
    const [broker = 0, controller = 0] = await freePorts(2)
    const folder = newServerFolder('compose-kafka')
    const here = (value: string) =>
      value
        .replace(/(?:kafka|localhost)?:9092/g, `127.0.0.1:${broker}`)
        .replace(/(?:kafka|localhost)?:9093/g, `127.0.0.1:${controller}`)
        .replace('/var/lib/kafka/data', join(folder, 'data'))
    const properties = kafkaProperties().map(([name, value]) => [name, here(value)] as const)
    await using _server = await runKafka(folder, Object.fromEntries(properties), `127.0.0.1:${broker}`)

    const kafka = new Kafka({ brokers: [`127.0.0.1:${broker}`], logLevel: logLevel.NOTHING })
    const admin = kafka.admin()
    await admin.connect()
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: ConfigResourceTypes.BROKER, name: '1' }],
    })
    await admin.disconnect()
    const taken = new Map(resources[0]?.configEntries.map(({ configName, configValue }) => [configName, configValue]))
    for (const [name, value] of properties) expect(taken.get(name), name).toBe(value)
  })
})

describe.skipIf(!(await canStart('redis')))('Redis with the arguments of docker-compose.yml', () => {
  test('starts, and keeps what it has acknowledged when it is killed', async () => {
    const [command, ...args] = serviceNamed('redis').command
    expect(command).toBe('redis-server')
    const settings: Record<string, string> = {}
    for (let index = 0; index < args.length; index += 2) {
      settings[(args[index] ?? '').replace('--', '')] = args[index + 1] ?? ''
    }
    expect(settings).toMatchObject({ appendonly: 'yes', appendfsync: 'always', 'maxmemory-policy': 'noeviction' })
    await using server = await startRedis({ settings })
    const redis = new Redis(server.url)
    await redis.set('kept', 'yes')
    await server.kill()
    await server.restart()
    expect(await redis.get('kept')).toBe('yes')
    redis.disconnect()
  })
})

describe.skipIf(!(await canStart('registry')))('the registry with the environment of docker-compose.yml', () => {
  test('starts, and keeps its schemas when it is killed', { timeout: 120_000 }, async () => {
    const folder = newServerFolder('compose-registry')
    const environment = environmentOf('registry')
    const [mounted = ''] = serviceNamed('registry').volumes.map((volume) => volume.split(':')[1] ?? '')
    const url = environment.REGISTRY_DATASOURCE_URL ?? ''
    expect(url).toContain(`file:${mounted}/`)
    await using registry = await startRegistry({
      environment: { ...environment, REGISTRY_DATASOURCE_URL: url.replace(mounted, folder) },
    })
    const made = await fetch(`${registry.url}/subjects/orders-value/versions`, {
      method: 'POST',
      headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
      body: JSON.stringify({ schema: '{"type":"string"}' }),
    })
    expect(made.status).toBe(200)
    const { id } = z.object({ id: z.int() }).parse(await made.json())
    await registry.kill()
    await registry.restart()
    const kept = await fetch(`${registry.url}/schemas/ids/${id}`)
    expect(await kept.json()).toMatchObject({ schema: '{"type":"string"}' })
  })

  test('answers the health check', { timeout: 120_000 }, async () => {
    await using registry = await startRegistry()
    const [, shell = '', flag = '', script = ''] = serviceNamed('registry').healthcheck?.test ?? []
    const here = script.replaceAll('$$', '$').replace('/8080', `/${new URL(registry.url).port}`)
    expect(await exitCode(shell, [flag, here])).toBe(0)
    await registry.kill()
    expect(await exitCode(shell, [flag, here])).not.toBe(0)
  })
})

async function exitCode(command: string, args: readonly string[]): Promise<unknown> {
  const [code] = await once(spawn(command, args, { stdio: 'ignore' }), 'exit')
  return code
}
