import { inOrder, type Member } from '../../src/core/presence.ts'

/** A reply of `changesScript`. */
export interface Changes {
  readonly epoch: string
  /** The version after which it begins; 0 begins anew. */
  readonly from: number
  readonly upto: number
  readonly more: boolean
  readonly joined: readonly (readonly [field: string, member: Member])[]
  readonly left: readonly string[]
}

/** Everyone on a channel, as far as it has been read. */
export class PresenceView {
  readonly #members = new Map<string, Member>()
  /** Empty before the first read, and while nobody is there. */
  epoch = ''
  version = 0
  /** Whether it differs from what `take` has answered last. */
  changed = true

  apply({ epoch, from, upto, joined, left }: Changes): void {
    if (from === 0 && this.#members.size > 0) {
      this.#members.clear()
      this.changed = true
    }
    for (const [field, member] of joined) this.#members.set(field, member)
    let gone = 0
    for (const field of left) if (this.#members.delete(field)) gone++
    if (joined.length > 0 || gone > 0) this.changed = true
    this.epoch = epoch
    this.version = upto
  }

  take(): readonly Member[] {
    this.changed = false
    return inOrder(this.#members.values())
  }
}

export function changesOf(reply: unknown): Changes {
  const [epoch, from, upto, more, joined, left] = listOf(reply)
  const texts = listOf(joined).map(String)
  const pairs: (readonly [string, Member])[] = []
  for (let index = 0; index + 1 < texts.length; index += 2) {
    const [field = '', json = ''] = [texts[index], texts[index + 1]]
    if (json !== '') pairs.push([field, JSON.parse(json)])
  }
  return {
    epoch: String(epoch),
    from: Number(from),
    upto: Number(upto),
    more: more === 1,
    joined: pairs,
    left: listOf(left).map(String),
  }
}

export function listOf(reply: unknown): readonly unknown[] {
  return Array.isArray(reply) ? reply : []
}
