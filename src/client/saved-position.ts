import type { ChannelPosition } from '../live/protocol.ts'
import { onPlatform } from './platform.ts'

/** What positions are kept in: `sessionStorage`, or anything like it. */
export interface PositionStorage {
  getItem(key: string): string | null
  setItem(key: string, value: string): void
}

const throttleMs = 500

/** The position of a subscription, kept for the next page under a name. */
export class SavedPosition {
  readonly #storage: PositionStorage | undefined
  readonly #key: string
  /** What the position is of: one of something else is not used. */
  readonly #of: string
  #next: ChannelPosition | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  readonly #unlisten: () => void

  constructor(name: string, of: string, storage: PositionStorage | undefined) {
    this.#storage = storage ?? sessionStorage()
    this.#key = `millrace:${name}`
    this.#of = of
    this.#unlisten = onPlatform('pagehide', () => this.#write())
  }

  read(): ChannelPosition | undefined {
    try {
      const stored: unknown = JSON.parse(this.#storage?.getItem(this.#key) ?? 'null')
      return isStored(stored) && stored.of === this.#of ? { epoch: stored.epoch, offset: stored.offset } : undefined
    } catch {
      return undefined
    }
  }

  /** Soon, or when the page goes. */
  save(position: ChannelPosition): void {
    this.#next = position
    this.#timer ??= setTimeout(() => this.#write(), throttleMs)
  }

  close(): void {
    this.#unlisten()
    this.#write()
  }

  #write(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (!this.#next) return
    try {
      this.#storage?.setItem(this.#key, JSON.stringify({ of: this.#of, ...this.#next }))
    } catch {
      // Full, or not allowed: the next page begins as it would without.
    }
    this.#next = undefined
  }
}

function sessionStorage(): PositionStorage | undefined {
  const platform: object = globalThis
  try {
    return hasStorage(platform) ? platform.sessionStorage : undefined
  } catch {
    // A page that may not store anything.
    return undefined
  }
}

function hasStorage(platform: object): platform is { readonly sessionStorage: PositionStorage } {
  return 'sessionStorage' in platform && typeof platform.sessionStorage === 'object' && platform.sessionStorage !== null
}

function isStored(value: unknown): value is ChannelPosition & { readonly of: string } {
  if (typeof value !== 'object' || value === null) return false
  return (
    'of' in value &&
    'epoch' in value &&
    typeof value.epoch === 'string' &&
    'offset' in value &&
    Number.isInteger(value.offset)
  )
}
