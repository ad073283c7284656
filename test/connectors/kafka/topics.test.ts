import { randomUUID } from 'node:crypto'
import { Kafka, logLevel } from 'kafkajs'
import { afterAll, describe, expect, test } from 'vitest'
import { openCluster } from '../../../connectors/kafka/cluster.ts'
import { openKafkaLog } from '../../../connectors/kafka/index.ts'
import { TopicAdmin } from '../../../connectors/kafka/topic-admin.ts'
import { TopicMetadata } from '../../../connectors/kafka/topic-metadata.ts'
import { bytes, readAll, text } from '../../contracts/event-log-member.ts'
import { findService } from '../../services/services.ts'
import { settingsOf } from './settings.ts'

const brokers = await findService('kafka')

describe.skipIf(brokers === undefined)('topics on Kafka', async () => {
  const log = await openKafkaLog(settingsOf(brokers ?? '127.0.0.1:1'))
  const other = await openKafkaLog(settingsOf(brokers ?? '127.0.0.1:1'))
  const admin = new Kafka({ brokers: [brokers ?? ''], logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  afterAll(async () => {
    await Promise.all([log.close(), other.close(), admin.disconnect()])
  })
  const configOf = async (name: string) => {
    const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: 2, name }] })
    return Object.fromEntries(resources[0]?.configEntries.map((entry) => [entry.configName, entry.configValue]) ?? [])
  }

  test('are made once when several processes make them at the same time, and can be used at once', async () => {
    const topic = `t-${randomUUID()}`
    await Promise.all([log, other, log, other].map((each) => each.ensureTopic(topic, { partitions: 3 })))
    await other.append(topic, [{ key: null, value: bytes('a'), partition: 2 }])
    expect((await readAll(log, topic, 2)).map(({ value }) => text(value))).toEqual(['a'])
  })

  test('keep what is not asked to be otherwise', async () => {
    const topic = `t-${randomUUID()}`
    await admin.createTopics({ topics: [{ topic, configEntries: [{ name: 'max.message.bytes', value: '123456' }] }] })
    await log.ensureTopic(topic, { retentionMs: 0, retentionBytes: 5_000_000 })
    await log.ensureTopic(topic, { compact: true })
    // The controller answers; its brokers show it a moment later.
    const soon = { timeout: 5_000 }
    await expect
      .poll(() => configOf(topic), soon)
      .toMatchObject({
        'max.message.bytes': '123456',
        'retention.ms': '-1',
        'retention.bytes': '5000000',
        'cleanup.policy': 'compact',
      })
    const listed = async () => (await other.topics()).find(({ name }) => name === topic)?.config
    await expect.poll(listed, soon).toEqual({ partitions: 1, retentionMs: 0, retentionBytes: 5_000_000, compact: true })
  })

  test('that another process gives more partitions take records there', async () => {
    const topic = `t-${randomUUID()}`
    await log.ensureTopic(topic, { partitions: 1 })
    await log.append(topic, [{ key: null, value: bytes('a'), partition: 0 }])
    await other.ensureTopic(topic, { partitions: 2 })
    expect(await log.append(topic, [{ key: null, value: bytes('b'), partition: 1 }])).toMatchObject([{ partition: 1 }])
  })

  test('that are deleted are not found, and do not spoil the others', async () => {
    const [gone, stays] = [`t-${randomUUID()}`, `t-${randomUUID()}`]
    for (const topic of [gone, stays]) {
      await log.ensureTopic(topic)
      await log.append(topic, [{ key: null, value: bytes('a') }])
    }
    await admin.deleteTopics({ topics: [gone] })
    await expect(log.append(gone, [{ key: null, value: bytes('b') }])).rejects.toMatchObject({
      code: 'topic_not_found',
    })
    await log.append(stays, [{ key: null, value: bytes('b') }])
    expect(await readAll(log, stays)).toHaveLength(2)
  })

  test('are listed by name', async () => {
    for (const name of ['b', 'B', 'a']) await log.ensureTopic(`${name}-${randomUUID()}`)
    const names = (await log.topics()).map(({ name }) => name)
    expect(names).toEqual([...names].sort())
  })

  test('are made with less where the cluster does not take all that helps', async () => {
    const [name, settings] = [`t-${randomUUID()}`, settingsOf(brokers)]
    const control = await openCluster(settings, 'test')
    const maker = new TopicAdmin({ control, topics: new TopicMetadata(control), settings })
    await maker.ensure(name, { retentionMs: 60_000 }, { 'no.such.setting': '1' })
    await control.disconnect()
    expect(await configOf(name)).toMatchObject({ 'retention.ms': '60000' })
  })

  test('of Kafka and of Millrace itself are not listed, and groups of other programs are left out', async () => {
    const topic = `t-${randomUUID()}`
    await log.ensureTopic(topic)
    await log.append(topic, [], { state: { scope: topic, changes: [{ key: 'a', value: 1 }] } })
    await admin.setOffsets({ groupId: topic, topic, partitions: [{ partition: 0, offset: '0' }] })
    const names = (await log.topics()).map(({ name }) => name)
    expect(names).toContain(topic)
    expect(names.filter((name) => /^__|^millrace\.(state|sequences)$/.test(name))).toEqual([])
    expect((await log.groups()).filter(({ group }) => group === topic)).toEqual([])
  })
})
