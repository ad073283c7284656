import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import type { Harness } from '../server/harness.ts'
import { Socket } from './socket.ts'

interface Honest {
  readonly socket: Socket
  readonly wants: (n: number) => boolean
}

const filters: readonly (readonly [filter: string | undefined, wants: (n: number) => boolean])[] = [
  [undefined, () => true],
  ['value.n % 2 == 0', (n) => n % 2 === 0],
  ['value.n % 3 == 1', (n) => n % 3 === 1],
]

/** Clients that ask for nothing out of the ordinary, while events come all the time. */
export class Crowd {
  readonly #harness: Harness
  readonly #channel: string
  readonly #clients: Honest[] = []
  #next = 0
  #running = true
  readonly #pumping: Promise<void>

  private constructor(harness: Harness, channel: string) {
    this.#harness = harness
    this.#channel = channel
    this.#pumping = this.#pump()
  }

  static async gather(harness: Harness, channel: string, size: number, token: () => Promise<string>): Promise<Crowd> {
    const crowd = new Crowd(harness, channel)
    for (let index = 0; index < size; index++) {
      const socket = await Socket.open(harness.address, { headers: { authorization: `Bearer ${await token()}` } })
      const [filter, wants] = filters[index % filters.length] ?? [undefined, () => true]
      socket.send({ id: 1, type: 'subscribe', channel, filter, since: { time: 0 } })
      expect(await socket.reply(1)).toMatchObject({ type: 'subscribed', recovered: true })
      crowd.#clients.push({ socket, wants })
    }
    return crowd
  }

  /** Every one has every event up to now that it wants, once and in order, and was told of no gap. */
  async isWell(): Promise<void> {
    const until = this.#next
    for (const { socket, wants } of this.#clients) {
      const due = Array.from({ length: until }, (_, n) => n).filter(wants)
      await expect.poll(() => numbers(socket).length, { timeout: 20_000 }).toBeGreaterThanOrEqual(due.length)
      expect(numbers(socket).slice(0, due.length)).toEqual(due)
      expect(socket.closed).toBeUndefined()
      const others = socket.received.filter(({ type }) => type !== 'events' && type !== 'heartbeat')
      expect(others).toEqual([])
    }
  }

  async leave(): Promise<void> {
    this.#running = false
    await this.#pumping
    for (const { socket } of this.#clients) socket.close()
  }

  async #pump(): Promise<void> {
    while (this.#running) {
      const events = Array.from({ length: 3 }, (_, index) => {
        const n = this.#next + index
        return { id: `${n}`, key: null, value: { n, text: 'aaaaaaaaaaaaaaaaaaaaaaaa!' }, timestamp: n }
      })
      const offsets = events.map(({ timestamp }) => timestamp)
      await this.#harness.liveLog.append(this.#channel, 'lane', events, offsets)
      this.#next += events.length
      await sleep(10)
    }
  }
}

function numbers(socket: Socket): number[] {
  return socket.received.flatMap(({ type, events }) =>
    type === 'events' && Array.isArray(events) ? events.map(({ value }: { value: { n: number } }) => value.n) : [],
  )
}
