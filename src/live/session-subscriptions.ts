import { Forbidden, InvalidInput, Retryable } from '../core/errors.ts'
import type { Principal } from '../core/principal.ts'
import type { Credentials } from './credentials.ts'
import type { Flow } from './flow.ts'
import type { Sender } from './sender.ts'
import type { SessionPresence } from './session-presence.ts'
import type { Ending } from './subscription.ts'

/** A subscription of a session, to a channel or to a query. */
export interface Held {
  readonly flow: Flow
  /** Undefined if it did not ask for presence, or has not begun. */
  readonly presence?: SessionPresence | undefined
  /** Why it cannot go on as it is for this principal; undefined if it can. */
  review(principal: Principal): Ending | undefined
  /** Called once. From then on it sends nothing. */
  release(): void
}

/** The subscriptions of one session by their ids, at most `limit`, those that are being opened included. */
export class SessionSubscriptions {
  readonly #sender: Sender
  readonly #credentials: Credentials
  readonly #limit: number
  readonly #held = new Map<string, Held>()
  readonly #opening = new Set<string>()
  #closed = false

  constructor(sender: Sender, credentials: Credentials, limit: number) {
    this.#sender = sender
    this.#credentials = credentials
    this.#limit = limit
  }

  get size(): number {
    return this.#held.size + this.#opening.size
  }

  get(id: string): Held | undefined {
    return this.#held.get(id)
  }

  /**
   * Adds what `open` makes under the id that it is given: the smallest that is free, so that sessions that subscribe to
   * the same have the same ids and share frames. `opened` is to tell the client, in the same turn; it is not called if
   * the session has ended meanwhile. Throws `InvalidInput` (`too_many_subscriptions`), what `open` throws, and why it
   * cannot be if another token has been shown since it was asked for.
   */
  async add<T extends Held>(open: (id: string) => Promise<T>, opened: (held: T) => void): Promise<void> {
    if (this.size >= this.#limit) throw tooManySubscriptions(this.#limit)
    const id = this.#freeId()
    this.#opening.add(id)
    try {
      const held = await open(id)
      if (this.#closed) return held.release()
      // In the same turn in which it begins to be reviewed with the others.
      const ending = held.review(this.#credentials.require())
      if (ending) {
        held.release()
        throw ending.retry ? new Retryable(ending) : new Forbidden(ending)
      }
      this.#held.set(id, held)
      this.#sender.flows.add(held.flow)
      opened(held)
    } finally {
      this.#opening.delete(id)
    }
  }

  /** Answers whether there was one. Nothing of it is sent any more: its id may stand for another from now on. */
  drop(id: string): boolean {
    const held = this.#held.get(id)
    if (!held) return false
    this.#held.delete(id)
    this.#sender.flows.delete(held.flow)
    held.release()
    return true
  }

  /** Drops one and tells the client why. */
  end(id: string, ending: Ending): void {
    if (this.drop(id)) this.#sender.reply({ type: 'ended', subscription: id, ...ending })
  }

  /** Ends what this principal may not have, or not in this form. */
  review(principal: Principal): void {
    for (const [id, held] of [...this.#held]) {
      const ending = held.review(principal)
      if (ending) this.end(id, ending)
    }
  }

  close(): void {
    this.#closed = true
    for (const id of [...this.#held.keys()]) this.drop(id)
  }

  #freeId(): string {
    for (let number = 1; ; number++) {
      const id = `s${number}`
      if (!this.#held.has(id) && !this.#opening.has(id)) return id
    }
  }
}

function tooManySubscriptions(limit: number): InvalidInput {
  return new InvalidInput({
    code: 'too_many_subscriptions',
    message: `A session may have ${limit} subscriptions. Unsubscribe from one, or open another connection.`,
  })
}
