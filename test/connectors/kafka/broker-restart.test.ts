import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { openKafkaLog } from '../../../connectors/kafka/index.ts'
import { Retryable } from '../../../src/core/errors.ts'
import { bytes, readAll, text } from '../../contracts/event-log-member.ts'
import { startKafka } from '../../services/kafka.ts'
import { canStart } from '../../services/services.ts'
import { settingsOf } from './settings.ts'

describe.skipIf(!(await canStart('kafka')))('while a broker crashes and comes back', { timeout: 180_000 }, () => {
  test('appends go on, and those with a sequence are neither lost nor doubled', async () => {
    await using kafka = await startKafka()
    const log = await openKafkaLog(settingsOf(kafka.brokers))
    const topic = `t-${randomUUID()}`
    await log.ensureTopic(topic, { partitions: 2 })
    const plain = `p-${randomUUID()}`
    await log.ensureTopic(plain)
    let stopped = false
    let sequence = 0

    const once = async () => {
      while (!stopped) {
        sequence++
        const records = [0, 1].map((partition) => ({ key: null, value: bytes(String(sequence)), partition }))
        await patiently(() => log.append(topic, records, { once: { producer: topic, sequence } }))
      }
    }
    const acknowledged: string[] = []
    const plainly = async () => {
      for (let number = 0; !stopped; number++) {
        await patiently(() => log.append(plain, [{ key: null, value: bytes(String(number)) }]))
        acknowledged.push(String(number))
      }
    }
    const running = Promise.all([once(), plainly()])
    const further = async () => {
      const [aim, plainAim] = [sequence + 10, acknowledged.length + 10]
      for (const end = Date.now() + 60_000; sequence < aim || acknowledged.length < plainAim; await sleep(20))
        if (Date.now() > end) throw new Error(`stuck at sequence ${sequence}, append ${acknowledged.length}`)
    }
    for (let crash = 0; crash < 2; crash++) {
      await further()
      await kafka.kill()
      await sleep(300)
      await kafka.restart()
    }
    await further()
    stopped = true
    await running
    const all = Array.from({ length: sequence }, (_, index) => String(index + 1))
    for (const partition of [0, 1])
      expect((await readAll(log, topic, partition)).map(({ value }) => text(value))).toEqual(all)
    // Each was sent until it was acknowledged, under one number: a broker takes it once.
    expect((await readAll(log, plain)).map(({ value }) => text(value))).toEqual(acknowledged)
    await log.close()
  })
})

/** As a pipeline does. */
async function patiently<T>(run: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await run()
    } catch (error) {
      if (!(error instanceof Retryable)) throw error
      await sleep(50)
    }
  }
}
