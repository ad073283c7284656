import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { findService } from '../../../services/services.ts'
import { Client, eventually, Rig, settingsFor, take } from './rig.ts'

const address = await findService('kafka')
const program = fileURLToPath(new URL('./member-process.mjs', import.meta.url))
const sessionTimeout = 6000

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

  async says(start: string, after = 0): Promise<void> {
    await eventually(() => this.lines.slice(after).some((line) => line.startsWith(start)), `"${start}"`)
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.#closed
  }
}

describe.skipIf(address === undefined)('a member in another process', () => {
  let client: Client
  let rig: Rig
  let running: Process[] = []

  beforeAll(async () => {
    client = await Client.open(address ?? '')
    rig = await Rig.open(settingsFor(address ?? '', sessionTimeout))
  })
  afterEach(async () => {
    await Promise.all(running.map((each) => each.kill()))
    running = []
  })
  afterAll(async () => {
    await rig.close()
    await client.close()
  })

  function start(topic: string, group: string): Process {
    const started = new Process(address ?? '', topic, group, String(sessionTimeout))
    running.push(started)
    return started
  }

  test('that is killed loses its partitions once its session has run out, and what it committed counts', async () => {
    const [topic, group] = [await client.topic(2), `g-${randomUUID()}`]
    const other = start(topic, group)
    await other.says('lane 0')
    await other.says('lane 1')
    await client.send(topic, ['a', 'b'])
    await other.says('committed 0 2')
    await other.kill()
    await client.send(topic, ['c'])
    const member = rig.join({ topics: [topic], group })
    const lanes = await member.holds(2)
    const first = lanes.find(({ partition }) => partition.partition === 0)
    expect(first?.committed).toEqual({ from: 2, ends: [] })
    expect(first && (await take(first, 1))).toEqual(['c'])
    await member.leave()
  })

  test('that was frozen for longer than its session writes nothing more when it goes on', async () => {
    const [topic, group] = [await client.topic(1), `g-${randomUUID()}`]
    const zombie = start(topic, group)
    await zombie.says('lane 0')
    await client.send(topic, ['a'])
    await zombie.says('committed 0 1')
    zombie.child.kill('SIGSTOP')
    const member = rig.join({ topics: [topic], group })
    const lane = await member.lane()
    await client.send(topic, ['b'])
    expect(await take(lane, 1)).toEqual(['b'])
    await lane.commit({ from: 2, ends: [] })
    const [before, woken] = [zombie.lines.length, Date.now()]
    zombie.child.kill('SIGCONT')
    await zombie.says('stopped 0 Fenced', before)
    await zombie.says('not owned 0 Fenced', before)
    const late = zombie.lines.filter((line) => line.startsWith('committed') && Number(line.split(' ')[3]) >= woken)
    expect(late).toEqual([])
    expect(lane.revoked.aborted).toBe(false)
    await lane.commit({ from: 2, ends: [] })
    lane.assertOwned()
    await member.leave()
    // It is a member like any other again.
    await zombie.says('lane 0 2', before)
  })
})
