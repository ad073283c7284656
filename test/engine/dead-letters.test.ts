import { expect, test } from 'vitest'
import { Retryable } from '../../src/core/errors.ts'
import type { EventLog } from '../../src/core/event-log.ts'
import { writeDeadLetters } from '../../src/engine/dead-letters.ts'
import { fakeRecord } from './fake-lane-source.ts'
import { World } from './world.ts'

const letter = (offset: number) => ({ offset, component: 'c', code: 'bad', message: 'bad' })
const record = (offset: number) => fakeRecord(offset, offset)

test('none is lost when the log refuses a part of them at first', async () => {
  await using world = await World.open()
  await world.log.ensureTopic('p.dlq')
  let calls = 0
  const full = new Retryable({ code: 'disk_full', message: 'the disk is full' })
  const append: EventLog['append'] = async (topic, records, options) => {
    if (++calls === 1) throw full
    return world.log.append(topic, records, options)
  }
  const log: Pick<EventLog, 'append'> = { append }
  const letters = [letter(3), letter(4), letter(7)]
  await expect(writeDeadLetters(log, 'p', 'p/in/0', letters, record)).rejects.toBe(full)
  await writeDeadLetters(log, 'p', 'p/in/0', letters, record)
  expect(await world.values('p.dlq')).toEqual([3, 4, 7])
})

test('each is stored once, in whatever grouping it is repeated', async () => {
  await using world = await World.open()
  await world.log.ensureTopic('p.dlq')
  for (const offsets of [[5, 3], [3, 5, 5, 8], [8], [3, 5, 8, 9]])
    await writeDeadLetters(world.log, 'p', 'p/in/0', offsets.map(letter), record)
  expect(await world.values('p.dlq')).toEqual([3, 5, 8, 9])
})
