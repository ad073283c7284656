import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { GroupMember } from '../../../connectors/embedded-log/group-member.ts'
import { GroupStore } from '../../../connectors/embedded-log/group-store.ts'
import { Growth } from '../../../connectors/embedded-log/growth.ts'
import { openEmbeddedLog } from '../../../connectors/embedded-log/index.ts'
import type { LogParts } from '../../../connectors/embedded-log/log-parts.ts'
import { PartitionStore } from '../../../connectors/embedded-log/partition-store.ts'
import { StateStore } from '../../../connectors/embedded-log/state-store.ts'
import { openStore } from '../../../connectors/embedded-log/store.ts'
import { Topics } from '../../../connectors/embedded-log/topics.ts'
import { Fenced } from '../../../src/core/errors.ts'
import type { LaneSource } from '../../../src/core/event-log.ts'
import { bytes, eventually, Member, many, take, text } from '../../contracts/event-log-member.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-log-'))
})
afterEach(async () => {
  vi.restoreAllMocks()
  await rm(folder, { recursive: true })
})

async function openParts(leaseMs: number): Promise<LogParts> {
  const store = await openStore(folder, 'events')
  return {
    store,
    growth: new Growth(store),
    partitions: new PartitionStore(store),
    topics: new Topics(store),
    groups: new GroupStore(store),
    state: new StateStore(store),
    leaseMs,
    members: new Set(),
    closed: new AbortController().signal,
  }
}

test('a lane that was refused a write is replaced, even if the renewal that was late arrives after all', async () => {
  const parts = await openParts(300)
  await parts.store.writeEssential(() => parts.topics.ensure('t', {}))
  const lanes: LaneSource[] = []
  const stop = new AbortController()
  const running = (async () => {
    const member = new GroupMember(parts, { group: 'g', topics: ['t'] })
    for await (const lane of member.lanes(stop.signal)) lanes.push(lane)
  })()
  await eventually(() => lanes.length === 1, 'a lane')
  const write = parts.store.writeEssential.bind(parts.store)
  vi.spyOn(parts.store, 'writeEssential').mockImplementationOnce(async (job) => {
    await sleep(210)
    return write(job)
  })
  const isRefused = () => {
    try {
      lanes[0]?.assertOwned()
      return false
    } catch (error) {
      return error instanceof Fenced
    }
  }
  await eventually(isRefused, 'the lease to end')
  await eventually(() => lanes.length === 2, 'another lane')
  expect(lanes[0]?.revoked.aborted).toBe(true)
  lanes[1]?.assertOwned()
  stop.abort()
  await running
  await parts.store.close()
})

test('a partition is given away at the next turn when the disk was full at first', async () => {
  const parts = await openParts(10_000)
  await parts.store.writeEssential(() => parts.topics.ensure('t', { partitions: 2 }))
  const stop = new AbortController()
  const join = (lanes: LaneSource[]) =>
    (async () => {
      const member = new GroupMember(parts, { group: 'g', topics: ['t'] })
      for await (const lane of member.lanes(stop.signal)) lanes.push(lane)
    })()
  const first: LaneSource[] = []
  const second: LaneSource[] = []
  const running = [join(first)]
  await eventually(() => first.length === 2, 'both partitions')
  const write = parts.store.writeEssential.bind(parts.store)
  const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
  vi.spyOn(parts.store, 'writeEssential')
    .mockImplementationOnce(write)
    .mockImplementationOnce((job) =>
      write(() => {
        job()
        throw full
      }),
    )
  running.push(join(second))
  await eventually(() => second.length === 1, 'a share for the second member')
  stop.abort()
  await Promise.all(running)
  await parts.store.close()
})

test('a process that stood still for longer than its lease gets its partitions back, and goes on', async () => {
  const log = await openEmbeddedLog(folder, { leaseMs: 200 })
  await log.ensureTopic('t')
  await log.append(
    't',
    [1, 2].map((n) => ({ key: null, value: bytes(String(n)) })),
  )
  const member = new Member(log, { group: 'g', topics: ['t'] })
  const before = await member.lane()
  await before.commit({ from: 1, ends: [] })
  for (const until = performance.now() + 300; performance.now() < until; );
  expect(() => before.assertOwned()).toThrow(Fenced)
  await eventually(() => member.lanes.some((lane) => lane !== before), 'the partition again')
  const after = await member.lane()
  expect(after).not.toBe(before)
  await expect(before.commit({ from: 2, ends: [] })).rejects.toThrow(Fenced)
  expect((await take(after, 1)).map(({ value }) => text(value))).toEqual(['2'])
  await member.leave()
  await log.close()
})

test('a read of a log that is closed fails, for an empty answer would say that nothing is left', async () => {
  const log = await openEmbeddedLog(folder)
  await log.ensureTopic('t')
  const member = new Member(log, { group: 'g', topics: ['t'] })
  const lane = await member.lane()
  const reading = lane.read({ ...many, before: 10 }, new AbortController().signal)
  const failing = expect(reading).rejects.toMatchObject({ code: 'log_closed' })
  await log.close()
  await failing
  await member.leave()
})
