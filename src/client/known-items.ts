import type { LiveEvent } from './subscription.ts'

/** How the items of a snapshot are matched with events. Those of a search need nothing. */
export type Recognition<Item> = (Item extends { readonly id: string }
  ? { readonly id?: ((item: Item) => string) | undefined }
  : { readonly id: (item: Item) => string }) & {
  /**
   * Which version of the event the item is: the offset of its source. Needed where an `id` comes again; `position.offset`
   * of the item when left out.
   */
  readonly version?: ((item: Item) => number | undefined) | undefined
}

/** How many ids of events are remembered, so that a retraction of something else can be told. */
const mostSent = 100_000

/** What a consumer has: the items of a snapshot, and events that it was given since. */
export class KnownItems<Item> {
  /** Version by id. */
  readonly #items = new Map<string, number | undefined>()
  readonly #sent = new Set<string>()
  #forgot = false

  constructor(items: readonly Item[], recognition: Recognition<Item>) {
    const { id = ownId, version = ownVersion } = recognition
    for (const item of items) this.#items.set(id(item), version(item))
  }

  /** Whether the event is something that the consumer does not have; if so, it has it from here on. */
  isNews({ id, value, version }: LiveEvent<unknown>): boolean {
    const sent = this.#sent.has(id)
    const there = this.#items.has(id)
    if (there && !sent && this.#contains(id, value, version)) return false
    if (value !== null) this.#remember(id)
    else {
      if (!there && !sent && !this.#forgot) return false
      this.#items.delete(id)
      this.#sent.delete(id)
    }
    return true
  }

  /** An event without a version is the only one of its id. */
  #contains(id: string, value: unknown, version: number | undefined): boolean {
    if (version === undefined) return value !== null
    const item = this.#items.get(id)
    return item !== undefined && version <= item
  }

  #remember(id: string): void {
    this.#sent.delete(id)
    this.#sent.add(id)
    if (this.#sent.size <= mostSent) return
    this.#forgot = true
    for (const oldest of this.#sent) {
      this.#sent.delete(oldest)
      return
    }
  }
}

function ownId(item: unknown): string {
  if (typeof item === 'object' && item !== null && 'id' in item && typeof item.id === 'string') return item.id
  throw new TypeError('An item of the snapshot has no "id": give the function "id".')
}

function ownVersion(item: unknown): number | undefined {
  if (typeof item !== 'object' || item === null || !('position' in item)) return undefined
  const { position } = item
  if (typeof position !== 'object' || position === null || !('offset' in position)) return undefined
  return typeof position.offset === 'number' ? position.offset : undefined
}
