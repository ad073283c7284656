import type { PresenceMember, PresenceMessage } from '../../src/live/protocol.ts'

/** What a client knows that keeps what it is told. */
export class MemberList {
  #members = new Map<string, PresenceMember>()
  messages = 0

  take({ members, joined = [], left = [] }: Pick<PresenceMessage, 'members' | 'joined' | 'left'>): void {
    this.messages++
    if (members) this.#members = new Map(members.map((member) => [member.id, member]))
    for (const member of joined) this.#members.set(member.id, member)
    for (const id of left) this.#members.delete(id)
  }

  /** Who came first comes first. */
  get members(): PresenceMember[] {
    return [...this.#members.values()].sort((a, b) => a.since - b.since || (a.id < b.id ? -1 : 1))
  }

  get users(): string {
    return this.members.map(({ user }) => user).join(' ')
  }
}
