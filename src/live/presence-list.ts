import type { Member } from '../core/presence.ts'
import type { RowFilter } from '../core/principal.ts'
import type { Encoding } from './encoding.ts'
import type { PresenceMember, PresenceMessage } from './protocol.ts'

/** What a client is shown at most: those who have been there longest. */
export const listedMembers = 1_000
const listedBytes = 2 ** 20

interface Shown extends PresenceMember {
  /** To tell whether something of it has changed. */
  readonly json: string
  readonly rows: string | undefined
}

/** Made once for each member, however many lists it is in. */
const shown = new WeakMap<Member, Shown>()

type Content = Omit<PresenceMessage, 'type' | 'subscription'>

/**
 * What all watchers of a channel that see the same rows are told: everyone, and how that differs from the time before.
 * A frame is encoded once for all subscriptions of the same id and encoding.
 */
export class PresenceList {
  readonly #rows: RowFilter | undefined
  #listed: ReadonlyMap<string, Shown> | undefined
  #change: Content = {}
  readonly #frames = new Map<Encoding, Map<string, Uint8Array>>()

  /** Without `rows` everyone is listed; otherwise those who see the same. */
  constructor(rows: RowFilter | undefined) {
    this.#rows = rows
  }

  get known(): boolean {
    return this.#listed !== undefined
  }

  /** Answers what watchers are to be told. */
  update(members: readonly Member[]): 'nothing' | 'change' | 'whole' {
    const before = this.#listed
    const now = new Map(bounded(seenBy(members, this.#rows)).map((each) => [each.id, each]))
    const joined = [...now.values()].filter(({ id, json }) => before?.get(id)?.json !== json)
    const left = [...(before?.keys() ?? [])].filter((id) => !now.has(id))
    if (before && joined.length === 0 && left.length === 0) return 'nothing'
    this.#listed = now
    this.#frames.clear()
    this.#change = {
      ...(joined.length === 0 ? {} : { joined: joined.map(memberOf) }),
      ...(left.length === 0 ? {} : { left }),
    }
    return before && joined.length + left.length <= now.size ? 'change' : 'whole'
  }

  frame(what: 'change' | 'whole', encoding: Encoding, subscription: string): Uint8Array {
    const frames = this.#frames.get(encoding) ?? new Map<string, Uint8Array>()
    this.#frames.set(encoding, frames)
    const known = frames.get(`${what} ${subscription}`)
    if (known) return known
    const content = what === 'change' ? this.#change : { members: [...(this.#listed?.values() ?? [])].map(memberOf) }
    const frame = encoding.message({ type: 'presence', subscription, ...content }, undefined)
    frames.set(`${what} ${subscription}`, frame)
    return frame
  }
}

/** Those who see the same rows; everyone for who sees all. */
export function seenBy(members: readonly Member[], rows: RowFilter | undefined): readonly Member[] {
  if (rows === undefined) return members
  const same = JSON.stringify(rows)
  return members.filter((member) => show(member).rows === same)
}

/** What a client is shown of them. */
export function listed(members: readonly Member[]): PresenceMember[] {
  return bounded(members).map(memberOf)
}

function bounded(members: readonly Member[]): Shown[] {
  const list: Shown[] = []
  let bytes = 0
  for (const member of members) {
    const each = show(member)
    bytes += each.json.length
    if (list.length >= listedMembers || bytes > listedBytes) break
    list.push(each)
  }
  return list
}

function show(member: Member): Shown {
  const known = shown.get(member)
  if (known) return known
  const { id, user, state, since, rows } = member
  const json = JSON.stringify([user, state, since])
  const made = { id, user, state, since, json, rows: rows && JSON.stringify(rows) }
  shown.set(member, made)
  return made
}

function memberOf({ id, user, state, since }: Shown): PresenceMember {
  return { id, user, state, since }
}
