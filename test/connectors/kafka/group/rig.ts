import { randomUUID } from 'node:crypto'
import { Kafka, logLevel, type Producer } from 'kafkajs'
import { openCluster } from '../../../../connectors/kafka/cluster.ts'
import { Groups } from '../../../../connectors/kafka/group/groups.ts'
import type { KafkaParts } from '../../../../connectors/kafka/parts.ts'
import type { KafkaSettings } from '../../../../connectors/kafka/settings.ts'
import { TopicMetadata } from '../../../../connectors/kafka/topic-metadata.ts'
import { Fenced } from '../../../../src/core/errors.ts'
import type { Json } from '../../../../src/core/event.ts'
import type { LaneSource, SourceOptions } from '../../../../src/core/event-log.ts'
import type { StateScope, StateStore } from '../../../../src/core/state.ts'

/** A state store in memory that several processes' parts of one test may share: a fake of the one on a topic. */
export class FakeStateStore implements StateStore {
  readonly #owners = new Map<string, symbol>()
  readonly #values = new Map<string, Map<string, Json>>()

  async takeOver(scope: string): Promise<StateScope> {
    const owner = Symbol(scope)
    this.#owners.set(scope, owner)
    const values = this.#values.get(scope) ?? new Map<string, Json>()
    this.#values.set(scope, values)
    return {
      get: async (keys) => keys.map((key) => values.get(key)),
      scan: async function* (prefix) {
        yield* [...values].filter(([key]) => key.startsWith(prefix))
      },
      prepare: async (_from, changes) => {
        if (this.#owners.get(scope) !== owner) throw new Fenced({ code: 'fenced', message: 'taken over' })
        for (const { key, value } of changes)
          if (value === undefined) values.delete(key)
          else values.set(key, value)
      },
    }
  }

  async close(): Promise<void> {}
}

export function settingsFor(address: string, sessionTimeout = 6000): KafkaSettings {
  return { brokers: [address], clientId: 'millrace-test', ssl: false, sessionTimeout, linger: 0, compression: 'none' }
}

/** The groups of one process, on a real broker. */
export class Rig {
  readonly groups: Groups
  readonly #parts: KafkaParts
  readonly #closing: AbortController

  static async open(settings: KafkaSettings, stateStore: StateStore = new FakeStateStore()): Promise<Rig> {
    const control = await openCluster(settings, 'control')
    return new Rig(settings, stateStore, control)
  }

  private constructor(settings: KafkaSettings, stateStore: StateStore, control: KafkaParts['control']) {
    this.#closing = new AbortController()
    this.#parts = {
      settings,
      control,
      topics: new TopicMetadata(control),
      stateStore,
      closed: this.#closing.signal,
      warn: () => undefined,
    }
    this.groups = new Groups(this.#parts)
  }

  join(options: SourceOptions): RigMember {
    return new RigMember(this.groups, options)
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await this.groups.close()
    await this.#parts.control.disconnect()
  }
}

/** A member as a pipeline would run it, by hand. */
export class RigMember {
  readonly all: LaneSource[] = []
  readonly #stop = new AbortController()
  readonly running: Promise<void>

  constructor(groups: Groups, options: SourceOptions) {
    this.running = this.#collect(groups, options)
  }

  async #collect(groups: Groups, options: SourceOptions): Promise<void> {
    for await (const lane of groups.source(options).lanes(this.#stop.signal)) this.all.push(lane)
  }

  get lanes(): LaneSource[] {
    return this.all.filter(({ revoked }) => !revoked.aborted)
  }

  async holds(count: number): Promise<LaneSource[]> {
    await eventually(() => this.lanes.length === count, `${count} lanes`)
    return this.lanes
  }

  async lane(): Promise<LaneSource> {
    const [lane] = await this.holds(1)
    if (!lane) throw new Error('no lane')
    return lane
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.running
  }

  async leave(): Promise<void> {
    await this.stop()
    await Promise.all(this.all.map((lane) => lane.release()))
  }
}

/** An independent client: creates topics and produces. */
export class Client {
  readonly #kafka: Kafka
  readonly #producer: Producer

  static async open(address: string): Promise<Client> {
    const client = new Client(address)
    await client.#producer.connect()
    return client
  }

  private constructor(address: string) {
    this.#kafka = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING })
    this.#producer = this.#kafka.producer()
  }

  async topic(numPartitions = 1, configEntries: { name: string; value: string }[] = []): Promise<string> {
    const topic = `t-${randomUUID()}`
    const admin = this.#kafka.admin()
    await admin.connect()
    await admin.createTopics({ topics: [{ topic, numPartitions, configEntries }], waitForLeaders: false })
    const known = () =>
      admin.fetchTopicMetadata({ topics: [topic] }).then(
        () => true,
        () => false,
      )
    await eventually(known, 'the topic')
    await admin.disconnect()
    return topic
  }

  async send(topic: string, values: readonly (string | Buffer)[], partition = 0): Promise<void> {
    await this.#producer.send({ topic, messages: values.map((value) => ({ value, partition })) })
  }

  get kafka(): Kafka {
    return this.#kafka
  }

  async close(): Promise<void> {
    await this.#producer.disconnect()
  }
}

export async function eventually(
  holds: () => boolean | Promise<boolean>,
  what: string,
  patienceMs = 20_000,
): Promise<void> {
  for (const end = Date.now() + patienceMs; ; ) {
    if (await holds()) return
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

export const many = { events: 1000, bytes: 1e6 } as const
export const patience = () => AbortSignal.timeout(20_000)

export async function take(lane: LaneSource, count: number): Promise<string[]> {
  const values: string[] = []
  while (values.length < count) {
    const records = await lane.read({ ...many, events: count - values.length }, patience())
    if (records.length === 0) throw new Error(`${values.length} of ${count} records came`)
    for (const { value } of records) values.push(Buffer.from(value ?? []).toString())
  }
  return values
}
