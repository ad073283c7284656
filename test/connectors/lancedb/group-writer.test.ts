import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { GroupWriter } from '../../../connectors/lancedb/group-writer.ts'

const writeMs = 20
const restMs = 500
let groups: number[][]
let writer: GroupWriter<number, string>

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  groups = []
  writer = new GroupWriter<number, string>(4_000, restMs, async (requests) => {
    groups.push([...requests])
    await new Promise((resolve) => setTimeout(resolve, writeMs))
    return requests.map(String)
  })
})
afterEach(() => {
  vi.useRealTimers()
})

/** One request every 10 ms, as from lanes that get on, or more seldom. */
async function stream(count: number, size = 1, everyMs = 10): Promise<readonly Promise<string>[]> {
  const answers: Promise<string>[] = []
  for (let n = 0; n < count; n++) {
    answers.push(writer.write(n, size))
    await vi.advanceTimersByTimeAsync(everyMs)
  }
  return answers
}

test('what is written after a quiet time goes at once', async () => {
  const first = await stream(3)
  await vi.advanceTimersByTimeAsync(2 * writeMs)
  expect(await Promise.all(first)).toEqual(['0', '1', '2'])
  await vi.advanceTimersByTimeAsync(10_000)
  const late = writer.write(7, 1)
  await vi.advanceTimersByTimeAsync(writeMs)
  expect(await late).toBe('7')
})

test('a steady stream is written in few groups, a small share of the time, in order and all of it', async () => {
  const answers = await stream(1_000)
  const early = groups.length
  await vi.advanceTimersByTimeAsync(restMs + writeMs)
  expect(await Promise.all(answers)).toEqual(Array.from({ length: 1_000 }, (_, n) => String(n)))
  expect(groups.flat()).toEqual(Array.from({ length: 1_000 }, (_, n) => n))
  // In 10 s: what was saved up, shorter rests in the first second, and from then on one write per rest of 400 ms.
  expect(early).toBeLessThan(250 / writeMs + 10_000 / 400 + 10)
  expect(early).toBeGreaterThan(15)
})

test.each([5, 20, 50])('%d events a second are each written soon, however long it goes on', async (rate) => {
  const waited: number[] = []
  for (let n = 0; n < 20 * rate; n++) {
    const started = performance.now()
    void writer.write(n, 1).then(() => waited.push(performance.now() - started))
    await vi.advanceTimersByTimeAsync(1_000 / rate)
  }
  await vi.advanceTimersByTimeAsync(1_000)
  expect(waited).toHaveLength(20 * rate)
  expect(Math.max(...waited)).toBeLessThanOrEqual(150 + 2 * writeMs)
  // No more than an eighth of the time, beside what was saved up.
  expect(groups.length).toBeLessThanOrEqual((21_000 / 8 + 250) / writeMs + 1)
})

test('groups that are large do not wait', async () => {
  await stream(100, 600)
  expect(groups.length).toBeGreaterThan(45)
})

test('other work, and the end, do not wait for a rest', async () => {
  await stream(400)
  const before = groups.length
  const last = writer.write(400, 1)
  await vi.advanceTimersByTimeAsync(writeMs)
  expect(groups.length).toBe(before)
  const alone = vi.fn(async () => 'done')
  const other = writer.alone(alone)
  await vi.advanceTimersByTimeAsync(0)
  expect(await other).toBe('done')
  expect(groups.length).toBe(before)
  const drained = writer.drained()
  await vi.advanceTimersByTimeAsync(writeMs)
  await drained
  expect(await last).toBe('400')
})
