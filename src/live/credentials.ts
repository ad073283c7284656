import { Forbidden, Unauthenticated } from '../core/errors.ts'
import { type Action, notAllowed, type Principal } from '../core/principal.ts'
import { closeCodes } from './protocol.ts'

/** Node's timers hold no longer delay. */
const longestTimer = 2 ** 31 - 1

/** What is done when a session may not go on. */
export type End = (code: number, reason: string) => void

/**
 * Who a session's client is, and until when. A client without a principal has a while to show a token; one whose
 * principal expires is closed, unless it has shown another token of the same user by then.
 */
export class Credentials {
  readonly #end: End
  #principal: Principal | undefined
  #timer: NodeJS.Timeout | undefined

  /** `patienceMs`: how long a client may take to show its first token. */
  constructor(principal: Principal | undefined, patienceMs: number, end: End) {
    this.#end = end
    this.#principal = principal
    if (principal) this.#endAtExpiry(principal)
    else this.#endIn(patienceMs, () => end(closeCodes.unauthenticated, 'no token was sent'))
  }

  /** Undefined until the client has shown who it is. */
  get principal(): Principal | undefined {
    return this.#principal
  }

  /** Throws `Unauthenticated` if nobody has been recognised yet. */
  require(): Principal {
    if (this.#principal) return this.#principal
    throw new Unauthenticated({
      code: 'unauthenticated',
      message: 'This server needs a token: send {"id":1,"type":"authenticate","token":"…"} first.',
    })
  }

  /**
   * Takes the place of the principal before. Throws `Forbidden` (`other_user`) if that was someone else and the session is
   * `inUse`: what it has subscribed to and where it is present are one user's.
   */
  replace(principal: Principal, inUse: boolean): void {
    const known = this.#principal
    if (known && known.id !== principal.id && inUse) {
      throw new Forbidden({
        code: 'other_user',
        message: `The subscriptions of this session are of "${known.id}", and the token is of "${principal.id}".`,
        hint: 'Open another connection for another user.',
      })
    }
    this.#principal = principal
    this.#endAtExpiry(principal)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  #endAtExpiry(principal: Principal): void {
    clearTimeout(this.#timer)
    const { expires } = principal
    if (expires === null) return
    const left = Math.max(0, expires - Date.now())
    // The clock decides, also after a sleep of the machine or a timer that ran early.
    this.#endIn(Math.min(left, longestTimer), () => {
      if (Date.now() < expires) this.#endAtExpiry(principal)
      else this.#end(closeCodes.tokenExpired, 'the token has expired')
    })
  }

  #endIn(delayMs: number, end: () => void): void {
    this.#timer = setTimeout(end, delayMs)
    this.#timer.unref()
  }
}

/** Throws `Forbidden` (`forbidden`), which names the action and what it was asked for. */
export function demand(principal: Principal, action: Action, name: string): void {
  if (!principal.may(action, name)) throw notAllowed(principal, action, name)
}
