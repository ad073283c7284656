import { useEffect, useRef, useState } from 'react'
import type { Client, Follow, FollowOptions, JsonValue, LiveEvent } from '../client/index.ts'
import { type Source, Sources } from './shared.ts'
import { useSource } from './use-source.ts'

export type UseFollowOptions<Item, Value> = FollowOptions<Item> & {
  /** The item that an event is. */
  readonly item: (event: LiveEvent<Value>) => Item
  /** What `snapshot` depends on, by value: with another one everything is loaded anew. */
  readonly about?: JsonValue | undefined
  /** Most items: beyond them the first are dropped. 1,000 when left out. */
  readonly keep?: number | undefined
}

export interface FollowView<Item> {
  /** Those of the snapshot, and after them what has come since. */
  readonly items: readonly Item[]
  /** The first snapshot has not come yet. */
  readonly loading: boolean
  /** False if the channel does not keep its events for long enough: something may be missing. */
  readonly complete: boolean
  /** Why it does not go on: what the server says, or what `snapshot` has thrown. */
  readonly error: unknown
}

/** Items are what the page makes them; all that is known here is how to tell them apart. */
interface Identified {
  readonly id: string
}
type Options = UseFollowOptions<Identified, JsonValue>

interface FollowRequest {
  readonly channel: string
  readonly about: JsonValue
  readonly keep: number
  readonly plain: Omit<Options, 'snapshot' | 'item' | 'id' | 'version' | 'about' | 'keep'>
}

const defaultKeep = 1_000
const nothing: FollowView<Identified> = { items: [], loading: true, complete: true, error: undefined }

class FollowSource implements Source<FollowView<Identified>> {
  readonly #items = new Map<string, Identified>()
  readonly #follow: Follow<Identified, JsonValue>
  readonly #keep: number
  readonly #changed: () => void
  #status = nothing

  constructor(client: Client, { channel, plain, keep }: FollowRequest, options: () => Options, changed: () => void) {
    this.#keep = keep
    this.#changed = changed
    const { id, version } = options()
    this.#follow = client.follow<Identified, JsonValue>(channel, {
      ...plain,
      snapshot: (signal) => options().snapshot(signal),
      id,
      version,
    })
    void this.#run(options)
  }

  view(): FollowView<Identified> {
    return { ...this.#status, items: [...this.#items.values()] }
  }

  close(): void {
    this.#follow.close()
  }

  async #run(options: () => Options): Promise<void> {
    const id = (item: Identified) => options().id?.(item) ?? item.id
    try {
      for await (const step of this.#follow) {
        if (step.type === 'snapshot') {
          this.#items.clear()
          for (const item of step.items) this.#set(id(item), item)
          this.#status = { ...this.#status, loading: false, complete: step.complete }
        } else if (step.event.value === null) this.#items.delete(step.event.id)
        else this.#set(step.event.id, options().item(step.event))
        this.#changed()
      }
    } catch (error) {
      this.#status = { ...this.#status, loading: false, error }
      this.#changed()
    }
  }

  /** A newer version stays where the one before it was. */
  #set(id: string, item: Identified): void {
    this.#items.set(id, item)
    for (const first of this.#items.keys()) {
      if (this.#items.size <= this.#keep) return
      this.#items.delete(first)
    }
  }
}

/**
 * What a store has of a channel's events, such as the matches of a search or the rows of a query, and then each event that
 * is not in it: none missed, none twice, as `follow` of the client does it. `snapshot` gives the first items first. Options
 * count by value, functions are those of the latest render.
 */
export function useFollow<Item, Value = JsonValue>(
  channel: string | undefined,
  options: UseFollowOptions<Item, Value>,
): FollowView<Item>
export function useFollow(channel: string | undefined, options: Options): FollowView<Identified> {
  const latest = useRef(options)
  useEffect(() => {
    latest.current = options
  })
  // The functions are this component's own, so what they make of the channel is shared with no other.
  const [own] = useState(
    () =>
      new Sources<FollowRequest, FollowView<Identified>>(
        nothing,
        (client, request, changed) => new FollowSource(client, request, () => latest.current, changed),
      ),
  )
  const { snapshot, item, id, version, about = null, keep = defaultKeep, ...plain } = options
  return useSource(own, channel === undefined ? undefined : { channel, about, keep, plain })
}
