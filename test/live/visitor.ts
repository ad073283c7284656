import { expect } from 'vitest'
import { DirectClient, principal, type Rights, type Scene } from './direct-client.ts'
import { MemberList } from './member-list.ts'

/** A client that subscribes to the channel `c` with presence, and keeps the list that it is told. */
export class Visitor {
  readonly client: DirectClient
  readonly list = new MemberList()
  readonly subscribed: Promise<unknown>

  constructor({ live }: Pick<Scene, 'live'>, rights: Rights, presence: Record<string, unknown> = {}) {
    this.client = new DirectClient(live, principal(rights))
    this.subscribed = this.client
      .ask({ id: 1, type: 'subscribe', channel: 'c', presence })
      .catch((error: unknown) => error)
    void this.#listen()
  }

  /** Waits until these, parted by spaces, are there. */
  async sees(users: string): Promise<void> {
    await expect.poll(() => this.list.users, { timeout: 20_000 }).toBe(users)
  }

  async states(...states: unknown[]): Promise<void> {
    await expect.poll(() => this.list.members.map(({ state }) => state), { timeout: 20_000 }).toEqual(states)
  }

  /** The connection is gone. */
  leave(): void {
    this.client.session.disconnected()
  }

  async #listen(): Promise<void> {
    for (;;) {
      const message = await this.client.ofType('presence').catch(() => undefined)
      if (message === undefined) return
      expect(message.subscription).toBe('s1')
      this.list.take(message)
    }
  }
}
