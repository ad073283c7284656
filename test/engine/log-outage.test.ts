import { describe, expect, it } from 'vitest'
import { Fenced, Retryable } from '../../src/core/errors.ts'
import type { LogRecord } from '../../src/core/event.ts'
import type { EventLog, LaneSource, SourceOptions } from '../../src/core/event-log.ts'
import { Pipeline } from '../../src/engine/pipeline.ts'
import { FakeLaneSource, fakePartition } from './fake-lane-source.ts'
import { sinkOf, specOf, Table, until, use, World } from './world.ts'

const down = new Retryable({ code: 'log_unavailable', message: 'the brokers do not answer' })
const lost = new Fenced({ code: 'session_lost', message: 'the session has run out' })

/** A lane whose log is away until it is well again. */
class TroubledLane extends FakeLaneSource {
  well = false
  released = false

  override async read(...[limit, signal]: Parameters<LaneSource['read']>): Promise<LogRecord[]> {
    if (this.well) return []
    await new Promise((resolve) => setTimeout(resolve, 5))
    if (this.revoked.aborted) throw lost
    signal.throwIfAborted()
    if (limit.events > 0) throw down
    return []
  }

  override end(): Promise<number> {
    return this.well ? super.end() : new Promise(() => undefined)
  }

  override async release(): Promise<void> {
    this.released = true
  }
}

/** The log of a world, whose sources give what a test hands in. */
function withSource(log: EventLog, give: (options: SourceOptions, signal: AbortSignal) => AsyncGenerator<LaneSource>) {
  return new Proxy(log, {
    get(target, name) {
      if (name === 'source') return (options: SourceOptions) => ({ lanes: (s: AbortSignal) => give(options, s) })
      const member: unknown = Reflect.get(target, name, target)
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
}

async function pipelineOn(
  world: World,
  give: Parameters<typeof withSource>[1],
  serde = world.context.services.serde,
): Promise<Pipeline> {
  await world.log.ensureTopic('in')
  const log = withSource(world.log, give)
  const { context } = world
  const services = { ...context.services, serde, log: async () => log }
  return new Pipeline(specOf({ sinks: [use('table')] }), { ...context, services })
}

const ending = (signal: AbortSignal) => new Promise((resolve) => signal.addEventListener('abort', resolve))

describe('while the log is away', () => {
  it('a pipeline is degraded and tells its status; a lane that is lost then takes its trouble with it', async () => {
    await using world = await World.open(sinkOf('table', new Table()))
    const lane = new TroubledLane(fakePartition([1, 2, 3]))
    const pipeline = await pipelineOn(world, async function* (_options, signal) {
      yield lane
      await ending(signal)
    })
    pipeline.start()
    await until(() => pipeline.state === 'degraded')
    expect(await pipeline.status()).toMatchObject({
      reason: 'p/in/0: source: the brokers do not answer',
      lanes: [{ topic: 'in', partition: 0, committed: 0, lag: 0 }],
    })
    lane.revoke()
    await until(() => lane.released)
    expect(pipeline.state).toBe('running')
    await pipeline.stop()
  })

  it('and comes back, the pipeline is well again without a single record', async () => {
    await using world = await World.open(sinkOf('table', new Table()))
    const lane = new TroubledLane(fakePartition([]))
    const pipeline = await pipelineOn(world, async function* (_options, signal) {
      yield lane
      await ending(signal)
    })
    pipeline.start()
    await until(() => pipeline.state === 'degraded')
    lane.read = async (_limit, signal) => {
      if (pipeline.state === 'running') await ending(signal)
      return []
    }
    await until(() => pipeline.state === 'running')
    await pipeline.stop()
  })

  it('and no lane can be had, the pipeline says why', async () => {
    await using world = await World.open(sinkOf('table', new Table()))
    let tell: SourceOptions['trouble']
    const pipeline = await pipelineOn(world, async function* ({ trouble }, signal) {
      tell = trouble
      await ending(signal)
      yield* []
    })
    pipeline.start()
    await until(() => tell !== undefined)
    tell?.(down)
    expect([pipeline.state, pipeline.reason]).toEqual(['degraded', 'p: source: the brokers do not answer'])
    tell?.(undefined)
    expect([pipeline.state, pipeline.reason]).toEqual(['starting', undefined])
    await pipeline.stop()
  })
})

it('a lane that cannot begin is released: a group waits for those who have its partitions', async () => {
  const table = new Table()
  await using world = await World.open(sinkOf('table', table))
  const { context } = world
  const { serde } = context.services
  let failures = 0
  const flaky: typeof serde = Object.assign(Object.create(serde), {
    codec: async (...args: Parameters<typeof serde.codec>) => {
      if (failures++ === 0) throw new Retryable({ code: 'registry_unavailable', message: 'the registry is down' })
      return serde.codec(...args)
    },
  })
  const lanes: TroubledLane[] = []
  const pipeline = await pipelineOn(
    world,
    async function* (_options, signal) {
      const lane = new TroubledLane(fakePartition([]))
      lanes.push(lane)
      yield lane
      await ending(signal)
    },
    flaky,
  )
  pipeline.start()
  await until(() => lanes.length === 2)
  expect(lanes.map(({ released }) => released)).toEqual([true, false])
  await pipeline.stop()
})
