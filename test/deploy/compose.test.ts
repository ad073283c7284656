import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { missingParts } from '../../src/cli/role-bindings.ts'
import { leaves, twinOf } from '../../src/config/environment.ts'
import { loadRuntime } from '../../src/config/runtime.ts'
import { runtimeSchema } from '../../src/config/runtime-schema.ts'
import { images } from '../services/services.ts'
import { environmentOf, networks, root, serviceNamed, services, volumes } from './compose.ts'

const ours = ['millrace', 'gateway']
const others = Object.keys(services).filter((name) => !ours.includes(name))

describe.each(Object.entries(services))('%s', (_name, service) => {
  test('has an image of a fixed version', () => {
    expect(service.image).toMatch(/^[a-z/-]+:v?\d+\.\d+\.\d+/)
  })

  test('is started again when it fails, unless it was stopped', () => {
    expect(service.restart).toBe('unless-stopped')
  })

  test('keeps its data in a named volume', () => {
    const named = service.volumes.filter((volume) => !volume.startsWith('.')).map((volume) => volume.split(':')[0])
    expect(named).toHaveLength(1)
    expect(Object.keys(volumes)).toEqual(expect.arrayContaining(named))
  })

  test('mounts nothing of this folder that is not there, and nothing to write to', () => {
    for (const volume of service.volumes.filter((entry) => entry.startsWith('.'))) {
      const [path = '', , mode] = volume.split(':')
      expect(existsSync(resolve(root, path)), path).toBe(true)
      expect(mode).toBe('ro')
    }
  })
})

test('nothing can be reached from other machines', () => {
  const published = Object.values(services).flatMap(({ ports }) => ports)
  expect(published).toEqual(ours.map(() => expect.stringMatching(/^127\.0\.0\.1:/)))
})

test('the servers can be reached by Millrace alone', () => {
  for (const name of others) expect(serviceNamed(name).networks).toEqual(['servers'])
  expect(networks.servers).toEqual({ internal: true })
})

test('Millrace waits until every server says that it is healthy', () => {
  expect(serviceNamed('millrace').depends_on).toEqual(
    Object.fromEntries(others.map((name) => [name, { condition: 'service_healthy' }])),
  )
  for (const name of others) expect(serviceNamed(name).healthcheck, name).toBeDefined()
})

test('gateways are there when they are asked for, with the servers and the token of Millrace, beside its lock', async () => {
  const { profiles, command, depends_on, image, volumes } = serviceNamed('gateway')
  expect(profiles).toEqual(['gateways'])
  expect(serviceNamed('millrace').profiles).toEqual([])
  expect(command).toEqual(['run', '--role', 'gateway'])
  expect(depends_on).toEqual({ millrace: { condition: 'service_healthy' } })
  expect({ image, volumes }).toEqual({
    image: serviceNamed('millrace').image,
    volumes: serviceNamed('millrace').volumes,
  })
  expect(environmentOf('gateway')).toEqual(environmentOf('millrace'))
  const env = { ...environmentOf('gateway'), MILLRACE_ROLE: 'gateway' }
  expect(missingParts(await loadRuntime({ env, cwd: '/nowhere' }))).toEqual([])
})

test('every setting of Millrace is one that it knows', () => {
  const known = leaves(runtimeSchema).map(twinOf)
  expect(known).toEqual(expect.arrayContaining(Object.keys(serviceNamed('millrace').environment)))
})

test('Millrace is bound to all of the servers, by their names', async () => {
  const runtime = await loadRuntime({ env: environmentOf('millrace'), cwd: '/nowhere' })
  const { kafka, schemaRegistry, clickhouse, vectors, redis } = runtime
  const addresses = [
    ...(kafka?.brokers ?? []),
    schemaRegistry?.url,
    clickhouse?.url,
    vectors?.milvus?.address,
    redis?.url,
  ]
  const hosts = addresses.map((address) => new URL(address?.includes('://') ? address : `tcp://${address}`).hostname)
  expect(hosts.sort()).toEqual(others.sort())
})

test('Millrace is given the user that ClickHouse makes', () => {
  const { MILLRACE_CLICKHOUSE_USERNAME, MILLRACE_CLICKHOUSE_PASSWORD, MILLRACE_CLICKHOUSE_DATABASE } =
    environmentOf('millrace')
  expect(environmentOf('clickhouse')).toEqual({
    CLICKHOUSE_USER: MILLRACE_CLICKHOUSE_USERNAME,
    CLICKHOUSE_PASSWORD: MILLRACE_CLICKHOUSE_PASSWORD,
    CLICKHOUSE_DB: MILLRACE_CLICKHOUSE_DATABASE,
  })
})

test('tests that run in containers use the same images', () => {
  for (const [name, image] of Object.entries(images)) expect(serviceNamed(name).image).toBe(image)
})
