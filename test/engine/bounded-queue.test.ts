import { expect, test } from 'vitest'
import { BoundedQueue } from '../../src/engine/bounded-queue.ts'

const never = new AbortController().signal

test('there is room while what is queued weighs less than the limit', async () => {
  const queue = new BoundedQueue<{ weight: number }>(4, ({ weight }) => weight)
  for (const weight of [1, 0.25, 2.5]) {
    await queue.room(never)
    queue.push({ weight })
  }
  await queue.room(never)
  queue.push({ weight: 1 })
  let room = false
  const waiting = queue.room(never).then(() => {
    room = true
  })
  await queue.shift()
  await Promise.resolve()
  await waiting
  expect(room).toBe(true)
  queue.push({ weight: 4 })
  const ended = new AbortController()
  const blocked = queue.room(ended.signal)
  await queue.shift()
  expect(await Promise.race([blocked.then(() => 'room'), Promise.resolve('none')])).toBe('none')
  ended.abort()
  await blocked
})
