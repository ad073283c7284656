import { randomUUID } from 'node:crypto'
import { AclOperationTypes, AclPermissionTypes, AclResourceTypes, Kafka, logLevel, ResourcePatternTypes } from 'kafkajs'
import { describe, expect, test } from 'vitest'
import { openKafkaLog } from '../../../connectors/kafka/index.ts'
import { Fatal } from '../../../src/core/errors.ts'
import { bytes, readAll, text } from '../../contracts/event-log-member.ts'
import { startKafka } from '../../services/kafka.ts'
import { canStart } from '../../services/services.ts'
import { settingsOf } from './settings.ts'

const user = { username: 'alice', password: 'alice-secret' }
const refused = { constructor: Fatal, code: 'not_authorized', hint: expect.stringContaining('rights') }

describe.skipIf(!(await canStart('kafka')))('on a Kafka with rights', { timeout: 180_000 }, () => {
  test('what is allowed works, and what is not is said at once and for good', async () => {
    await using kafka = await startKafka({
      sasl: { mechanism: 'plain', ...user },
      properties: {
        'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
        'super.users': 'User:ANONYMOUS',
      },
    })
    const admin = new Kafka({ brokers: [kafka.internal], logLevel: logLevel.NOTHING }).admin()
    await admin.connect()
    const [ours, hidden] = [`ours-${randomUUID()}`, `hidden-${randomUUID()}`]
    const internal = ['millrace.state', 'millrace.sequences']
    const allow = (names: readonly string[], operations: readonly AclOperationTypes[]) =>
      admin.createAcls({
        acl: names.flatMap((resourceName) =>
          operations.map((operation) => ({
            resourceType: AclResourceTypes.TOPIC,
            resourceName,
            resourcePatternType: ResourcePatternTypes.LITERAL,
            principal: `User:${user.username}`,
            host: '*',
            operation,
            permissionType: AclPermissionTypes.ALLOW,
          })),
        ),
      })
    await admin.createTopics({ topics: [ours, hidden].map((topic) => ({ topic, numPartitions: 2 })) })
    await allow([ours], [AclOperationTypes.READ, AclOperationTypes.WRITE])
    const log = await openKafkaLog(settingsOf(kafka.brokers, { sasl: { mechanism: 'plain', ...user } }))
    try {
      const [record] = [{ key: null, value: bytes('a'), partition: 0 }]
      await log.ensureTopic(ours, { retentionMs: 1000 })
      await log.append(ours, [record])
      expect((await readAll(log, ours)).map(({ value }) => text(value))).toEqual(['a'])
      expect((await log.topics()).map(({ name }) => name)).toEqual([ours])

      const began = Date.now()
      await expect(log.append(hidden, [record])).rejects.toMatchObject(refused)
      await expect(log.ensureTopic(hidden)).rejects.toMatchObject(refused)
      await expect(log.read({ topic: hidden, partition: 0 }, 0, { events: 1, bytes: 1 })).rejects.toMatchObject(refused)
      await expect(log.append(ours, [record, { ...record, partition: 1 }])).rejects.toMatchObject(refused)
      const once = { once: { producer: 'p', sequence: 1 } }
      await expect(log.append(ours, [record], once)).rejects.toMatchObject(refused)
      await admin.createTopics({ topics: internal.map((topic) => ({ topic, numPartitions: 16 })) })
      await allow(internal, [AclOperationTypes.READ, AclOperationTypes.WRITE])
      await expect(log.append(ours, [record], once)).rejects.toMatchObject(refused)
      expect(Date.now() - began).toBeLessThan(10_000)
    } finally {
      await log.close()
      await admin.disconnect()
    }
  })
})
