import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openRedis, type RedisServices } from '../../connectors/redis/index.ts'
import { freePorts } from '../services/ports.ts'
import { type RedisServer, startRedis } from '../services/redis.ts'
import { canStart } from '../services/services.ts'
import { until } from '../support/api.ts'
import { type RunningCli, startCli, tempFolder } from '../support/cli.ts'
import { ResumingClient } from './resuming-client.ts'

const patienceMs = 60_000
/** Of every five connections one breaks each time. */
const broken = 0.2

describe.skipIf(!(await canStart('redis')))('gateways on one Redis', () => {
  let redis: RedisServer
  let services: RedisServices
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let ports: readonly number[]
  const addresses = () => ports.map((port) => `http://127.0.0.1:${port}`)
  const startGateway = (port: number) =>
    startCli(['run', '--role', 'gateway', '--port', String(port)], {
      cwd: folder.path,
      env: { MILLRACE_REDIS_URL: redis.url },
    })

  beforeAll(async () => {
    redis = await startRedis({ settings: { appendfsync: 'everysec' } })
    services = openRedis({ url: redis.url, prefix: 'millrace', ssl: false })
    folder = await tempFolder()
    ports = await freePorts(2)
  })
  afterAll(async () => {
    await services.close()
    await redis[Symbol.asyncDispose]()
    await folder[Symbol.asyncDispose]()
  })

  /** Appends some events every now and then, as a lane does, until it is stopped; answers how many they were. */
  function publishSteadily(channel: string) {
    const over = new AbortController()
    const publishing = (async () => {
      let next = 0
      while (!over.signal.aborted) {
        const events = Array.from({ length: 10 }, (_, index) => {
          const n = next + index
          return { id: `e${n}`, key: `k${n % 7}`, value: { n, text: `event ${n}` }, timestamp: n }
        })
        await services.live.append(
          channel,
          'lane',
          events,
          events.map(({ value }) => value.n),
        )
        next += events.length
        await sleep(400)
      }
      return next
    })()
    return {
      stop: () => {
        over.abort()
        return publishing
      },
    }
  }

  /** Clients that are subscribed before the first event. */
  async function connect(count: number, channel: string): Promise<ResumingClient[]> {
    const clients = Array.from({ length: count }, (_, index) => {
      const only = index % 4 === 3 ? ('even' as const) : undefined
      return new ResumingClient({ addresses: addresses(), channel, only }, index)
    })
    await until(async () => clients.every(({ isSubscribed }) => isSubscribed), patienceMs)
    return clients
  }

  /** Each has everything that was published once and in order, or was told of what it has not. */
  async function checkAll(clients: readonly ResumingClient[], published: number): Promise<void> {
    // The last event has an odd offset.
    await until(async () => clients.every(({ offset }) => offset >= published - 2), patienceMs)
    await until(
      async () => clients.every(({ offset }, index) => index % 4 === 3 || offset === published - 1),
      patienceMs,
    )
    expect(clients.flatMap(({ problems }) => problems)).toEqual([])
    // The log keeps more than was published, so that nobody needs to be told of a gap either.
    expect(clients.filter(({ gaps }) => gaps > 0)).toEqual([])
  }

  test('a thousand clients, of whom many lose their connections over and over, while gateways are killed in turn', async () => {
    const channel = 'chaos'
    const running: RunningCli[] = await Promise.all(ports.map(startGateway))
    const clients = await connect(1_000, channel)
    const forgetful = new ResumingClient({ addresses: addresses(), channel, forgetful: true }, 0)
    await until(async () => forgetful.isSubscribed)
    const publishing = publishSteadily(channel)
    let kills = 0
    try {
      for (; kills < 4; kills++) {
        for (let round = 0; round < 3; round++) {
          for (const client of clients) if (Math.random() < broken) client.drop()
          forgetful.drop()
          await sleep(700)
        }
        const victim = kills % ports.length
        running[victim]?.kill('SIGKILL')
        await running[victim]?.exited
        running[victim] = await startGateway(ports[victim] ?? 0)
      }
      const published = await publishing.stop()
      expect(published).toBeGreaterThan(100)
      await checkAll(clients, published)
      expect(clients.reduce((sum, { connections }) => sum + connections, 0)).toBeGreaterThan(3 * clients.length)
      // What is looked for above is found where it is: this one misses what it does not ask for.
      expect(forgetful.problems).not.toEqual([])
    } finally {
      await publishing.stop()
      for (const client of [...clients, forgetful]) client.stop()
      for (const gateway of running) await gateway[Symbol.asyncDispose]()
    }
  }, 240_000)

  test('a rolling restart spreads the clients and loses no event', async () => {
    const channel = 'rolling'
    const running: RunningCli[] = await Promise.all(ports.map(startGateway))
    const clients = await connect(300, channel)
    const publishing = publishSteadily(channel)
    try {
      for (const [index, port] of ports.entries()) {
        await sleep(500)
        running[index]?.kill('SIGTERM')
        expect((await running[index]?.exited)?.code).toBe(0)
        running[index] = await startGateway(port)
      }
      await checkAll(clients, await publishing.stop())
      const advice = clients.flatMap((client) => client.advice)
      // Half of them were on the first, and perhaps all on the second.
      expect(advice.length).toBeGreaterThanOrEqual(150)
      expect(Math.max(...advice)).toBeLessThanOrEqual(500)
      expect(new Set(advice.map((after) => Math.floor(after / 50))).size).toBeGreaterThan(5)
    } finally {
      await publishing.stop()
      for (const client of clients) client.stop()
      for (const gateway of running) await gateway[Symbol.asyncDispose]()
    }
  }, 180_000)
})
