import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { openCluster } from '../../../connectors/kafka/cluster.ts'
import { findService } from '../../services/services.ts'
import { settingsOf } from './settings.ts'

const brokers = await findService('kafka')

describe.skipIf(brokers === undefined)('connections to Kafka', () => {
  test('take less than a hundredth of a core while nothing goes over them', async () => {
    const clusters = await Promise.all(Array.from({ length: 4 }, () => openCluster(settingsOf(brokers), 'idle')))
    for (const cluster of clusters) await (await cluster.findControllerBroker()).metadata([])
    await sleep(500)
    const [began, before] = [performance.now(), process.cpuUsage()]
    await sleep(3000)
    const { user, system } = process.cpuUsage(before)
    const share = (user + system) / 1000 / (performance.now() - began)
    await Promise.all(clusters.map((cluster) => cluster.disconnect()))
    expect(share).toBeLessThan(0.01)
  })
})
