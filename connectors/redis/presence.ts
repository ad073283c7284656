import { randomBytes, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Retryable } from '../../src/core/errors.ts'
import { channelMembers, type Member, type Presence, presenceFull } from '../../src/core/presence.ts'
import type { Argument, Connection } from './connection.ts'
import { changeScript, changesScript, endScript, renewScript } from './presence-scripts.ts'
import { changesOf, listOf, PresenceView } from './presence-view.ts'
import type { Script } from './script.ts'
import { SubscriptionCounts } from './subscription-counts.ts'
import { type Wake, Wakes } from './wakes.ts'

export interface PresenceOptions {
  /** How long a process that is not heard of any more keeps its members, milliseconds. Default 20 s. */
  readonly leaseMs?: number | undefined
  /** The most members of a channel. */
  readonly members?: number | undefined
}

/** Members that one call of a script changes, and reads. */
const batch = 100
const page = 250
/** Leases that are renewed at the same time. */
const renewedTogether = 50
const retryMs = 250
/** When presence has been lost, everyone says anew who is there: so long the last list stands. */
const settleMs = 1_000

/** What this process has on a channel. Everything that is wanted is written sooner or later, however often that fails. */
interface Holding {
  readonly channel: string
  readonly keys: readonly string[]
  readonly topic: string
  /** The JSON of its members, by id. */
  readonly wanted: Map<string, string>
  /** Ids of which what is wanted has not been written yet. */
  readonly dirty: Set<string>
  readonly refused: Set<string>
  watchers: number
  /** Changes that the server should have had from this process. */
  changes: number
  /** One at a time, so that they are counted right. */
  writing: Promise<void> | undefined
}

/** Presence over all processes that share a Redis. How it is kept is told in presence-scripts.ts. */
export class RedisPresence implements Presence {
  readonly #connection: Connection
  readonly #process = randomBytes(12).toString('base64url')
  readonly #leaseMs: number
  readonly #limit: number
  readonly #wakes: Wakes
  readonly #counts: SubscriptionCounts
  readonly #holdings = new Map<string, Holding>()
  readonly #closing = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #renewing = false

  constructor(connection: Connection, { leaseMs = 20_000, members = channelMembers }: PresenceOptions = {}) {
    this.#connection = connection
    this.#leaseMs = leaseMs
    this.#limit = members
    this.#wakes = new Wakes(connection)
    this.#counts = new SubscriptionCounts(connection, this.#process, leaseMs)
  }

  async join(channel: string, member: Member): Promise<void> {
    const holding = this.#hold(channel)
    holding.wanted.set(member.id, JSON.stringify(member))
    holding.dirty.add(member.id)
    holding.refused.delete(member.id)
    await this.#write(holding)
    if (holding.refused.delete(member.id)) throw presenceFull(channel, this.#limit)
  }

  async leave(channel: string, id: string): Promise<void> {
    const holding = this.#holdings.get(channel)
    if (!holding?.wanted.delete(id)) return
    holding.dirty.add(id)
    holding.refused.delete(id)
    await this.#write(holding)
  }

  async members(channel: string): Promise<readonly Member[]> {
    const view = new PresenceView()
    const keys = this.#keys(channel)
    while (await this.#readPage(keys, view));
    return view.take()
  }

  async size(channel: string): Promise<number> {
    const [, members = ''] = this.#keys(channel)
    return Number(await this.#connection.text('hlen', [members]))
  }

  async *watch(channel: string, signal: AbortSignal): AsyncGenerator<readonly Member[]> {
    const stop = AbortSignal.any([signal, this.#closing.signal])
    const holding = this.#hold(channel)
    const view = new PresenceView()
    let wake: Wake | undefined
    const onStop = () => wake?.cancel()
    stop.addEventListener('abort', onStop, { once: true })
    holding.watchers++
    this.#wakes.join(holding.topic)
    this.#write(holding).catch(() => undefined)
    try {
      while (!stop.aborted) {
        wake = this.#wakes.next(holding.topic)
        try {
          await this.#look(holding, view, stop)
          if (stop.aborted) return
          if (view.changed) yield view.take()
          else await wake.promise
        } catch (error) {
          if (!(error instanceof Retryable)) throw error
          await sleep(retryMs, undefined, { signal: stop, ref: false }).catch(() => undefined)
        } finally {
          wake.cancel()
        }
      }
    } finally {
      stop.removeEventListener('abort', onStop)
      this.#wakes.leave(holding.topic)
      holding.watchers--
      this.#write(holding).catch(() => undefined)
    }
  }

  count(channel: string, subscriptions: number): void {
    if (this.#closing.signal.aborted) return
    this.#counts.set(channel, subscriptions)
    this.#beat()
  }

  subscriptions(channel: string): Promise<number> {
    return this.#counts.of(channel)
  }

  /** The connection stays open. What cannot be written any more ends with its lease. */
  async close(): Promise<void> {
    this.#closing.abort()
    clearInterval(this.#timer)
    this.#wakes.close()
    const ends = [...this.#holdings.values()].map((holding) => {
      for (const id of holding.wanted.keys()) holding.dirty.add(id)
      holding.wanted.clear()
      return this.#write(holding)
    })
    await Promise.allSettled([...ends, this.#counts.close()])
  }

  #hold(channel: string): Holding {
    this.#beat()
    const known = this.#holdings.get(channel)
    if (known) return known
    const holding: Holding = {
      channel,
      keys: this.#keys(channel),
      topic: this.#connection.key('presence', channel, 'changed'),
      wanted: new Map(),
      dirty: new Set(),
      refused: new Set(),
      watchers: 0,
      changes: 0,
      writing: undefined,
    }
    this.#holdings.set(channel, holding)
    return holding
  }

  /** Writes what is wanted and not written yet, and renews the lease; of a holding of nothing the lease is ended. */
  #write(holding: Holding): Promise<void> {
    holding.writing ??= this.#writeAll(holding)
    return holding.writing
  }

  async #writeAll(holding: Holding): Promise<void> {
    try {
      // What is joined at the same time goes together.
      await Promise.resolve()
      for (let ended = false; !ended || !isIdle(holding); ) {
        do await this.#writeSome(holding)
        while (holding.dirty.size > 0)
        if (!isIdle(holding)) return
        ended = await this.#run(endScript, holding, [])
      }
      this.#holdings.delete(holding.channel)
    } catch (error) {
      // Its lease ends by itself: while the server is away, nothing is kept of channels that nobody here is on.
      if (holding.wanted.size === 0 && holding.watchers === 0) this.#holdings.delete(holding.channel)
      throw error
    } finally {
      holding.writing = undefined
    }
  }

  async #writeSome(holding: Holding): Promise<void> {
    const ids = firstOf(holding.dirty, batch)
    for (const id of ids) holding.dirty.delete(id)
    try {
      const changes = ids.flatMap((id) => [id, holding.wanted.get(id) ?? ''])
      const script = ids.length === 0 ? renewScript : changeScript
      if (await this.#run(script, holding, [this.#limit, ...changes])) return
      for (const id of ids) holding.dirty.add(id)
    } catch (error) {
      for (const id of ids) holding.dirty.add(id)
      throw error
    }
  }

  /** False if the server had something else from this process, or nothing: everything is then to be written anew. */
  async #run(script: Script, holding: Holding, args: readonly Argument[]): Promise<boolean> {
    const { keys, topic, wanted, dirty, refused } = holding
    const settings = [this.#process, this.#leaseMs, holding.changes, randomUUID(), topic]
    const [outcome, changes, ids] = listOf(await this.#connection.run(script, keys, [...settings, ...args]))
    holding.changes = Number(changes)
    if (String(outcome) === 'done') {
      for (const id of listOf(ids).map(String)) {
        wanted.delete(id)
        refused.add(id)
      }
      return true
    }
    for (const id of [...wanted.keys(), ...listOf(ids).map(String)]) dirty.add(id)
    return false
  }

  /** Reads all that has changed since the view was last brought up to date. */
  async #look(holding: Holding, view: PresenceView, stop: AbortSignal): Promise<void> {
    const { epoch } = view
    const settled = async () => {
      await this.#write(holding).catch(() => undefined)
      await sleep(settleMs, undefined, { signal: stop, ref: false }).catch(() => undefined)
    }
    while (!stop.aborted && (await this.#readPage(holding.keys, view, epoch === '' ? undefined : settled)));
  }

  /** Answers whether there is more. `restarting` is awaited before a list of another epoch replaces the view. */
  async #readPage(keys: readonly string[], view: PresenceView, restarting?: () => Promise<void>): Promise<boolean> {
    const read = async () =>
      changesOf(await this.#connection.run(changesScript, keys, [view.epoch, view.version, page]))
    let changes = await read()
    if (restarting && changes.epoch !== view.epoch) {
      await restarting()
      changes = await read()
    }
    view.apply(changes)
    return changes.more
  }

  #beat(): void {
    if (this.#closing.signal.aborted) return
    this.#timer ??= setInterval(() => void this.#renewAll(), this.#leaseMs * 0.3).unref()
  }

  /** While the server is away the rest is left to the next round. */
  async #renewAll(): Promise<void> {
    if (this.#renewing) return
    this.#renewing = true
    try {
      const holdings = [...this.#holdings.values()]
      for (let start = 0; start < holdings.length; start += renewedTogether) {
        await Promise.all(holdings.slice(start, start + renewedTogether).map((holding) => this.#write(holding)))
      }
      await this.#counts.renew()
    } catch {
      return
    } finally {
      this.#renewing = false
    }
  }

  #keys(channel: string): readonly string[] {
    return ['channel', 'members', 'changed', 'left'].map((part) => this.#connection.key('presence', channel, part))
  }
}

function isIdle({ wanted, dirty, watchers }: Holding): boolean {
  return wanted.size === 0 && dirty.size === 0 && watchers === 0
}

function firstOf(ids: Iterable<string>, count: number): string[] {
  const first: string[] = []
  for (const id of ids) {
    if (first.push(id) === count) break
  }
  return first
}
