import type { Argument, Connection } from './connection.ts'
import { listOf } from './presence-view.ts'

/** How long changes are gathered before they are written, and a list of processes is used. */
const gatherMs = 500
const listMs = 1_000
/** Channels of one write. */
const batch = 500
/** The field that counts the writes: no channel has this name. */
const writes = ''

/**
 * How many subscriptions each process has on each channel: a hash per process, which ends with the process, and a set of
 * the processes. Counts that a server has lost are noticed by the number of writes, and written anew.
 */
export class SubscriptionCounts {
  readonly #connection: Connection
  readonly #process: string
  readonly #leaseMs: number
  readonly #counts = new Map<string, number>()
  readonly #dirty = new Set<string>()
  #written = 0
  #writing: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #processes: { readonly list: Promise<readonly string[]>; readonly until: number } | undefined

  constructor(connection: Connection, process: string, leaseMs: number) {
    this.#connection = connection
    this.#process = process
    this.#leaseMs = leaseMs
  }

  set(channel: string, subscriptions: number): void {
    if (subscriptions > 0) this.#counts.set(channel, subscriptions)
    else this.#counts.delete(channel)
    this.#dirty.add(channel)
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      // What cannot be written now is written when the lease is renewed.
      this.#write().catch(() => undefined)
    }, gatherMs).unref()
  }

  /** Over all processes. Throws `Retryable`. */
  async of(channel: string): Promise<number> {
    const processes = await this.#listed()
    const counts = await Promise.all(processes.map((process) => this.#countOf(process, channel)))
    return counts.reduce((sum, count) => sum + count, 0)
  }

  /** Keeps what is written for another while. Throws `Retryable`. */
  async renew(): Promise<void> {
    if (this.#writing !== undefined || (this.#counts.size === 0 && this.#dirty.size === 0)) return
    const stored = await this.#connection.text('hget', [this.#key(this.#process), writes])
    if (this.#writing !== undefined) return
    if (String(stored ?? 0) !== String(this.#written)) {
      await this.#connection.text('del', [this.#key(this.#process)])
      for (const channel of this.#counts.keys()) this.#dirty.add(channel)
    }
    await this.#write()
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    await this.#writing?.catch(() => undefined)
    if (this.#written > 0) await this.#connection.text('del', [this.#key(this.#process)])
    await this.#connection.text('srem', [this.#set, this.#process])
  }

  #write(): Promise<void> {
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined
    })
    return this.#writing
  }

  async #writeAll(): Promise<void> {
    const key = this.#key(this.#process)
    do {
      const channels = [...this.#dirty].slice(0, batch)
      for (const channel of channels) this.#dirty.delete(channel)
      try {
        const gone = channels.filter((channel) => !this.#counts.has(channel))
        const fields = channels.flatMap((channel): Argument[] => {
          const count = this.#counts.get(channel)
          return count === undefined ? [] : [channel, count]
        })
        if (gone.length > 0) await this.#connection.text('hdel', [key, ...gone])
        await this.#connection.text('hset', [key, writes, ++this.#written, ...fields])
        await this.#connection.text('pexpire', [key, this.#leaseMs])
      } catch (error) {
        for (const channel of channels) this.#dirty.add(channel)
        throw error
      }
    } while (this.#dirty.size > 0)
    await this.#connection.text('sadd', [this.#set, this.#process])
  }

  /** A process that has ended is taken off the list by whoever notices; one that lives comes back with its next lease. */
  async #countOf(process: string, channel: string): Promise<number> {
    const reply = await this.#connection.text('hmget', [this.#key(process), writes, channel])
    const [written, count] = listOf(reply)
    if (written === null) await this.#connection.text('srem', [this.#set, process])
    return Number(count ?? 0)
  }

  #listed(): Promise<readonly string[]> {
    const now = performance.now()
    if (this.#processes && now < this.#processes.until) return this.#processes.list
    const list = this.#connection.text('smembers', [this.#set]).then((reply) => listOf(reply).map(String))
    this.#processes = { list, until: now + listMs }
    list.catch(() => {
      this.#processes = undefined
    })
    return list
  }

  get #set(): string {
    return `${this.#connection.prefix}:processes`
  }

  #key(process: string): string {
    return this.#connection.key('process', process, 'subscriptions')
  }
}
