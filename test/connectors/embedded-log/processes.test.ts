import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openEmbeddedLiveLog, openEmbeddedLog } from '../../../connectors/embedded-log/index.ts'
import { Fenced } from '../../../src/core/errors.ts'
import type { EventLog } from '../../../src/core/event-log.ts'
import { bytes, entries, eventually, Member, many, readAll, take, text } from '../../contracts/event-log-member.ts'

const program = fileURLToPath(new URL('./log-process.mjs', import.meta.url))

/** A process that works on the folder, and the whole lines that it has printed. */
class Process {
  readonly child: ChildProcess
  readonly #closed: Promise<unknown>
  #output = ''

  constructor(...args: string[]) {
    this.child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
    this.child.stdout?.on('data', (chunk) => {
      this.#output += String(chunk)
    })
    this.#closed = once(this.child, 'close')
  }

  get lines(): string[] {
    return this.#output.split('\n').slice(0, -1)
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.#closed
  }
}

let folder: string
let running: Process[]
let logs: EventLog[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-log-'))
  running = []
  logs = []
})
afterEach(async () => {
  await Promise.all(running.map((each) => each.kill()))
  await Promise.all(logs.map((log) => log.close()))
  await rm(folder, { recursive: true })
})

function start(...args: string[]): Process {
  const started = new Process(...args)
  running.push(started)
  return started
}
async function open(options = {}): Promise<EventLog> {
  const log = await openEmbeddedLog(folder, options)
  logs.push(log)
  return log
}

test('after SIGKILL at any moment every acknowledged append is there once, with its state', async () => {
  const log = await open()
  await log.ensureTopic('t')
  const acknowledged: string[] = []
  for (let round = 0; round < 4; round++) {
    // Two at once: one is killed in the middle of the other's commits.
    const pair = ['a', 'b'].map((name) => start('append', folder, `${name}${round}`))
    await eventually(() => pair.every(({ lines }) => lines.length > 50), 'appends')
    await sleep(round * 13)
    await Promise.all(pair.map((each) => each.kill()))
    acknowledged.push(...pair.flatMap(({ lines }) => lines))
  }
  const stored = (await readAll(log, 't')).map(({ offset, value }) => `${offset} ${text(value)?.trim()}`)
  const there = new Set(stored)
  expect(acknowledged.filter((line) => !there.has(line))).toEqual([])
  expect(new Set(stored.map((line) => line.split(' ')[1])).size).toBe(stored.length)
  expect(stored.map((line) => Number(line.split(' ')[0]))).toEqual(stored.map((_, index) => index))
  for (let round = 0; round < 4; round++)
    for (const name of ['a', 'b']) {
      const state = await entries(log.state(`${name}${round}`))
      for (let worker = 0; worker < 5; worker++) {
        const last = stored.filter((line) => line.includes(` ${name}${round}-${worker}-`)).at(-1)
        expect(state[worker]).toBe(last === undefined ? undefined : Number(last.split('-')[2]))
      }
    }
})

test('the partitions of a process that was killed are taken over at once, where it committed', async () => {
  const log = await open()
  await log.ensureTopic('t', { partitions: 2 })
  await log.append(
    't',
    Array.from({ length: 2000 }, (_, n) => ({ key: null, value: bytes('x'), partition: n % 2 })),
  )
  const other = start('consume', folder, 'g', '60000')
  await eventually(() => other.lines.filter((line) => line.startsWith('committed')).length > 10, 'commits')
  await other.kill()
  const killed = Date.now()
  const member = new Member(log, { topics: ['t'], group: 'g' })
  const lanes = await member.holds(2)
  expect(Date.now() - killed).toBeLessThan(5000)
  for (const lane of lanes) {
    const { partition } = lane.partition
    const last =
      other.lines
        .filter((line) => line.startsWith(`committed ${partition} `))
        .at(-1)
        ?.split(' ')[2] ?? 0
    // A commit may have become durable just before it could be printed.
    expect([Number(last), Number(last) + 10]).toContain(lane.committed.from)
    expect((await lane.state.get(['count']))[0] ?? 0).toBe(lane.committed.from)
    expect((await take(lane, 1))[0]?.offset).toBe(lane.committed.from)
  }
  await member.leave()
})

test('two processes share a group; one that slept past its lease writes nothing more', async () => {
  const leaseMs = 600
  const log = await open({ leaseMs })
  await log.ensureTopic('t', { partitions: 2 })
  await log.append(
    't',
    Array.from({ length: 4000 }, (_, n) => ({ key: null, value: bytes('x'), partition: n % 2 })),
  )
  const member = new Member(log, { topics: ['t'], group: 'g' })
  await member.holds(2)
  const other = start('consume', folder, 'g', String(leaseMs))
  await member.holds(1)
  await eventually(() => other.lines.some((line) => line.startsWith('committed')), 'commits')
  other.child.kill('SIGSTOP')
  await member.holds(2)
  const commitsBefore = other.lines.filter((line) => line.startsWith('committed')).length
  other.child.kill('SIGCONT')
  await eventually(() => other.lines.some((line) => line.startsWith('stopped')), 'the sleeper to notice')
  const stop = other.lines.findIndex((line) => line.startsWith('stopped'))
  const after = other.lines.slice(0, stop).filter((line) => line.startsWith('committed'))
  // What had been answered before the sleep may be printed after it, and no more than that.
  expect(after.length - commitsBefore).toBeLessThanOrEqual(1)
  expect(other.lines[stop]).toMatch(/lease_lost|partition_reassigned/)
  // Awake again, it joins again.
  await member.holds(1)
  await eventually(() => other.lines.slice(stop).some((line) => line.startsWith('lane')), 'a new lane')
  await member.leave()
})

test('a process whose own lease ran out is fenced by itself and by the log', async () => {
  const log = await open({ leaseMs: 300 })
  await log.ensureTopic('t')
  const member = new Member(log, { topics: ['t'], group: 'g' })
  const lane = await member.lane()
  lane.assertOwned()
  // The event loop stands still, as under SIGSTOP.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400)
  expect(() => lane.assertOwned()).toThrow(Fenced)
  await eventually(() => lane.revoked.aborted, 'revocation')
  await expect(lane.commit({ from: 1, ends: [] })).rejects.toBeInstanceOf(Fenced)
  await member.lane()
  await member.leave()
})

test('what another process appends is noticed soon by readers and followers', async () => {
  const log = await open()
  const live = await openEmbeddedLiveLog(folder)
  await log.ensureTopic('t')
  const member = new Member(log, { topics: ['t'], group: 'g' })
  const lane = await member.lane()
  const reading = lane.read(many, AbortSignal.timeout(10_000))
  const grown = log.grown(['t'], AbortSignal.timeout(10_000))
  start('append', folder, 'a')
  expect((await reading).length).toBeGreaterThan(0)
  await grown
  start('live', folder, 'l')
  const offsets: number[] = []
  for await (const batch of live.follow('c', 0, AbortSignal.timeout(10_000))) {
    offsets.push(...batch.map(({ offset }) => offset))
    if (offsets.length > 100) break
  }
  expect(offsets).toEqual(offsets.map((_, index) => index))
  await member.leave()
  await live.close()
})

test('two processes append a map larger than either has seen, and both read it all', async () => {
  const log = await open()
  await log.ensureTopic('t')
  const other = start('append', folder, 'a')
  const value = Buffer.alloc(500_000, 'y')
  for (let n = 0; n < 40; n++) await log.append('t', [{ key: bytes('mine'), value }])
  await eventually(() => other.lines.length > 1000, 'appends')
  await other.kill()
  const records = await readAll(log, 't')
  expect(records.filter(({ key }) => key !== null)).toHaveLength(40)
  expect(records.every(({ key, value: content }) => key === null || content?.length === value.length)).toBe(true)
})
