import { randomBytes } from 'node:crypto'
import { errorAdvice, errorMessage, InvalidInput, Retryable } from '../core/errors.ts'
import type { Member } from '../core/presence.ts'
import type { Principal, RowFilter } from '../core/principal.ts'
import type { ChannelPresence, Watching } from './channel-presence.ts'
import type { JsonValue, PresenceOptions } from './protocol.ts'
import type { Sender } from './sender.ts'
import type { SessionContext } from './session.ts'

/** Bytes of JSON that a session may say of itself on a channel. */
const stateBytes = 4_096

export interface SessionPresenceSettings {
  readonly context: Pick<SessionContext, 'presence' | 'observer' | 'logger'>
  readonly channel: string
  /** The subscription's. */
  readonly id: string
  readonly principal: Principal
  /** What the session sees of the channel; undefined for everything. */
  readonly rows: RowFilter | undefined
  readonly asked: PresenceOptions
  readonly sender: Sender
}

/** A subscription with `presence`: its look at the others, and itself as a member unless it only looks. */
export class SessionPresence {
  readonly #settings: SessionPresenceSettings
  readonly #watching: Watching
  #member: Member | undefined
  #ended = false

  /** From here on the client is told who is there. The state that is asked for has passed `checkState`. */
  constructor(settings: SessionPresenceSettings) {
    this.#settings = settings
    const { context, channel, id, principal, rows, asked, sender } = settings
    this.#watching = context.presence.watch(channel, id, rows, sender)
    sender.flows.add(this.#watching.flow)
    if (asked.join === false) return
    const session = { id: randomBytes(9).toString('base64url'), user: principal.id, since: Date.now() }
    void this.#join({ ...session, state: asked.state ?? null, ...(rows === undefined ? {} : { rows }) })
  }

  /** Shows another state. Throws `InvalidInput` (`not_present`, `state_too_large`, `presence_full`) or `Retryable`. */
  async show(state: JsonValue): Promise<void> {
    checkState(state)
    const { context, channel, id } = this.#settings
    if (!this.#member) throw notPresent(id)
    this.#member = { ...this.#member, state }
    await (await context.presence.presence()).join(channel, this.#member)
  }

  /** To be called once. */
  end(): void {
    this.#ended = true
    const { context, channel, sender } = this.#settings
    sender.flows.delete(this.#watching.flow)
    this.#watching.leave()
    const id = this.#member?.id
    if (id === undefined) return
    context.observer.member(channel, -1)
    void this.#leave(context.presence, channel, id)
  }

  async #join(member: Member): Promise<void> {
    this.#member = member
    const { context, channel, id, sender } = this.#settings
    context.observer.member(channel, 1)
    try {
      await (await context.presence.presence()).join(channel, member)
    } catch (error) {
      // The member is there as soon as it can be.
      if (error instanceof Retryable || this.#ended) return
      const answer = { id: null, type: 'error', retry: false, subscription: id } as const
      if (error instanceof InvalidInput) {
        sender.reply({ ...answer, code: error.code, message: errorAdvice(error) })
        return
      }
      context.logger.warn('A session cannot be shown on a channel.', { channel, error: errorMessage(error) })
      const message = 'This server cannot tell others who is there at present.'
      sender.reply({ ...answer, code: 'presence_unavailable', message })
    }
  }

  /** Whoever cannot be told now is told later, or when the lease of this process ends. */
  async #leave({ presence }: ChannelPresence, channel: string, id: string): Promise<void> {
    try {
      await (await presence()).leave(channel, id)
    } catch {
      return
    }
  }
}

export function notPresent(subscription: string): InvalidInput {
  return new InvalidInput({
    code: 'not_present',
    message: `The subscription "${subscription}" shows nobody that it is there.`,
    hint: 'Subscribe with `presence: { join: true }`.',
  })
}

/** Throws `InvalidInput` (`state_too_large`). */
export function checkState(state: JsonValue | undefined): void {
  if (state === undefined || bytesOf(state) <= stateBytes) return
  throw new InvalidInput({
    code: 'state_too_large',
    message: `What a session shows of itself may have ${stateBytes} bytes of JSON.`,
  })
}

/** What is nested too deeply to be written has any number. */
function bytesOf(state: JsonValue): number {
  try {
    return Buffer.byteLength(JSON.stringify(state))
  } catch {
    return Number.POSITIVE_INFINITY
  }
}
