import { setTimeout as sleep } from 'node:timers/promises'
import { errorMessage } from '../core/errors.ts'
import type { Member, Presence } from '../core/presence.ts'
import type { RowFilter } from '../core/principal.ts'
import type { Encoding } from './encoding.ts'
import type { Flow } from './flow.ts'
import type { Logger } from './logger.ts'
import { PresenceList } from './presence-list.ts'
import { Slices } from './slices.ts'

/** Watchers are told ten times a second at most, and more seldom if they are very many: what changes meanwhile goes together. */
const togetherMs = 100
const togetherMsPerWatcher = 0.05
const retryMs = 1_000

/** What a watcher needs of its session. */
export interface Outlet {
  readonly encoding: Encoding
  /** Whether the network takes frames. */
  readonly ready: boolean
  send(frame: Uint8Array): void
  /** Something waits in a flow. */
  wake(): void
}

/**
 * One subscription's look at who is on a channel. Nothing waits for a slow client but the knowledge that it has to be
 * sent the whole list anew.
 */
export class PresenceFlow implements Flow {
  readonly id: string
  readonly epoch = ''
  readonly queued = { events: 0, bytes: 0 }
  readonly settled = undefined
  readonly readyIn = undefined
  readonly #list: PresenceList
  readonly #outlet: Outlet
  #stale = false

  constructor(id: string, list: PresenceList, outlet: Outlet) {
    this.id = id
    this.#list = list
    this.#outlet = outlet
    if (list.known) this.tell('whole')
  }

  get wants(): boolean {
    return this.#stale
  }

  tell(what: 'change' | 'whole'): void {
    if (!this.#stale && this.#outlet.ready) {
      this.#outlet.send(this.#list.frame(what, this.#outlet.encoding, this.id))
      return
    }
    this.#stale = true
    this.#outlet.wake()
  }

  sendSome(): boolean {
    if (!this.#stale) return false
    this.#stale = false
    this.#outlet.send(this.#list.frame('whole', this.#outlet.encoding, this.id))
    return false
  }

  conflate(): void {}

  sample(): number {
    return 0
  }
}

export interface Watching {
  readonly flow: PresenceFlow
  /** To be called once. */
  leave(): void
}

interface Group {
  readonly list: PresenceList
  readonly watchers: Set<PresenceFlow>
}

/** The watchers of one channel, by what they see. The channel's members are watched once for all of them. */
class Watch {
  readonly #channel: string
  readonly #groups = new Map<string, Group>()
  readonly #stop = new AbortController()
  #members: readonly Member[] | undefined

  constructor(channel: string, presence: () => Promise<Presence>, logger: Logger) {
    this.#channel = channel
    void this.#run(presence, logger)
  }

  get empty(): boolean {
    return this.#groups.size === 0
  }

  add(id: string, rows: RowFilter | undefined, outlet: Outlet): Watching {
    const key = JSON.stringify(rows ?? null)
    const group = this.#groups.get(key) ?? this.#open(key, rows)
    const flow = new PresenceFlow(id, group.list, outlet)
    group.watchers.add(flow)
    const leave = () => {
      group.watchers.delete(flow)
      if (group.watchers.size === 0) this.#groups.delete(key)
    }
    return { flow, leave }
  }

  stop(): void {
    this.#stop.abort()
  }

  #open(key: string, rows: RowFilter | undefined): Group {
    const group: Group = { list: new PresenceList(rows), watchers: new Set() }
    if (this.#members) group.list.update(this.#members)
    this.#groups.set(key, group)
    return group
  }

  async #run(presence: () => Promise<Presence>, logger: Logger): Promise<void> {
    const { signal } = this.#stop
    const pause = (ms: number) => sleep(ms, undefined, { signal, ref: false }).catch(() => undefined)
    while (!signal.aborted) {
      try {
        for await (const members of (await presence()).watch(this.#channel, signal)) {
          await this.#handOut(members)
          await pause(Math.max(togetherMs, this.#watchers * togetherMsPerWatcher))
        }
      } catch (error) {
        logger.warn('Presence on a channel could not be read and is read again.', {
          channel: this.#channel,
          error: errorMessage(error),
        })
      }
      await pause(retryMs)
    }
  }

  /** Who joins a group meanwhile is sent its list, which is the new one by then. */
  async #handOut(members: readonly Member[]): Promise<void> {
    this.#members = members
    const slices = new Slices()
    for (const { list, watchers } of this.#groups.values()) {
      const what = list.update(members)
      if (what === 'nothing') continue
      for (const watcher of [...watchers]) {
        if (watchers.has(watcher)) watcher.tell(what)
        if (slices.over) await slices.pause()
      }
    }
  }

  get #watchers(): number {
    let count = 0
    for (const { watchers } of this.#groups.values()) count += watchers.size
    return count
  }
}

/** Who is on the channels that someone in this process looks at, and how many are subscribed to each. */
export class ChannelPresence {
  readonly presence: () => Promise<Presence>
  readonly #logger: Logger
  readonly #watches = new Map<string, Watch>()
  readonly #subscriptions = new Map<string, number>()

  constructor(presence: () => Promise<Presence>, logger: Logger) {
    this.presence = presence
    this.#logger = logger
  }

  /** `id` is the subscription's, `rows` what it sees of the channel. */
  watch(channel: string, id: string, rows: RowFilter | undefined, outlet: Outlet): Watching {
    const watch = this.#watches.get(channel) ?? new Watch(channel, this.presence, this.#logger)
    this.#watches.set(channel, watch)
    const { flow, leave } = watch.add(id, rows, outlet)
    return {
      flow,
      leave: () => {
        leave()
        if (!watch.empty) return
        watch.stop()
        if (this.#watches.get(channel) === watch) this.#watches.delete(channel)
      },
    }
  }

  /** This process has one more subscription to the channel, or one less. */
  count(channel: string, change: 1 | -1): void {
    const count = (this.#subscriptions.get(channel) ?? 0) + change
    if (count > 0) this.#subscriptions.set(channel, count)
    else this.#subscriptions.delete(channel)
    // Read when presence is open: by then it may be another.
    this.presence().then(
      (presence) => presence.count(channel, this.#subscriptions.get(channel) ?? 0),
      () => undefined,
    )
  }

  close(): void {
    for (const watch of this.#watches.values()) watch.stop()
    this.#watches.clear()
  }
}
