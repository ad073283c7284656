import { channelMembers, inOrder, type Member, type Presence, presenceFull } from '../core/presence.ts'

export interface LocalPresenceOptions {
  /** The most members of a channel. */
  readonly members?: number | undefined
}

interface Channel {
  readonly members: Map<string, Member>
  readonly watchers: Set<() => void>
  /** Counts changes, so that none is missed between two looks. */
  version: number
}

/** Presence within one process. Channels that nobody is on or watches take no memory. */
export class LocalPresence implements Presence {
  readonly #limit: number
  readonly #channels = new Map<string, Channel>()
  readonly #counts = new Map<string, number>()
  readonly #closing = new AbortController()

  constructor({ members = channelMembers }: LocalPresenceOptions = {}) {
    this.#limit = members
  }

  async join(channel: string, member: Member): Promise<void> {
    const known = this.#channels.get(channel)
    if (known && known.members.size >= this.#limit && !known.members.has(member.id)) {
      throw presenceFull(channel, this.#limit)
    }
    const { members } = known ?? this.#open(channel)
    members.set(member.id, member)
    this.#changed(channel)
  }

  async leave(channel: string, id: string): Promise<void> {
    if (this.#channels.get(channel)?.members.delete(id) !== true) return
    this.#changed(channel)
    this.#forget(channel)
  }

  async members(channel: string): Promise<readonly Member[]> {
    return inOrder(this.#channels.get(channel)?.members.values() ?? [])
  }

  async size(channel: string): Promise<number> {
    return this.#channels.get(channel)?.members.size ?? 0
  }

  async *watch(name: string, signal: AbortSignal): AsyncGenerator<readonly Member[]> {
    const stop = AbortSignal.any([signal, this.#closing.signal])
    const channel = this.#channels.get(name) ?? this.#open(name)
    let wake = () => {}
    const onChange = () => wake()
    channel.watchers.add(onChange)
    stop.addEventListener('abort', onChange, { once: true })
    try {
      for (let seen = -1; !stop.aborted; ) {
        const changed = new Promise<void>((resolve) => {
          wake = resolve
        })
        if (seen === channel.version) await changed
        if (stop.aborted) return
        seen = channel.version
        yield inOrder(channel.members.values())
      }
    } finally {
      stop.removeEventListener('abort', onChange)
      channel.watchers.delete(onChange)
      this.#forget(name)
    }
  }

  count(channel: string, subscriptions: number): void {
    if (subscriptions > 0) this.#counts.set(channel, subscriptions)
    else this.#counts.delete(channel)
  }

  async subscriptions(channel: string): Promise<number> {
    return this.#counts.get(channel) ?? 0
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.#channels.clear()
    this.#counts.clear()
  }

  #open(name: string): Channel {
    const channel = { members: new Map<string, Member>(), watchers: new Set<() => void>(), version: 0 }
    this.#channels.set(name, channel)
    return channel
  }

  #changed(name: string): void {
    const channel = this.#channels.get(name)
    if (!channel) return
    channel.version++
    for (const tell of channel.watchers) tell()
  }

  #forget(name: string): void {
    const channel = this.#channels.get(name)
    if (channel && channel.members.size === 0 && channel.watchers.size === 0) this.#channels.delete(name)
  }
}
