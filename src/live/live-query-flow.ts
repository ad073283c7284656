import type { Encoding } from './encoding.ts'
import type { Flow } from './flow.ts'
import type { QueryVersion } from './live-query-version.ts'
import type { ErrorMessage, ServerMessage } from './protocol.ts'
import { RateLimit } from './rate-limit.ts'
import type { Ending } from './subscription.ts'

/** What a subscription to a query needs of its session. */
export interface QueryConnection {
  readonly encoding: Encoding
  send(frame: Uint8Array): void
  wake(): void
  ended(flow: Pick<Flow, 'id'>, ending: Ending): void
}

/** What subscribers of a query share. */
interface Versions {
  readonly epoch: string
  readonly version: QueryVersion
}

const nothing = { events: 0, bytes: 0 }

/**
 * One subscriber to a query. Nothing waits for it: it knows the version that it was sent, and sends what leads from there to the
 * newest when the network and its rate allow.
 */
export class QueryFlow implements Flow {
  readonly id: string
  readonly queued = nothing
  readonly #versions: Versions
  readonly #connection: QueryConnection
  readonly #rate: RateLimit | undefined
  /** The version that the client has the rows of. */
  #sent: number | undefined
  #trouble: Omit<ErrorMessage, 'subscription'> | undefined

  /** `has`: the version that the client already has the rows of. */
  constructor(
    id: string,
    versions: Versions,
    connection: QueryConnection,
    { has, maxRate }: { readonly has: number | undefined; readonly maxRate: number | undefined },
  ) {
    this.id = id
    this.#versions = versions
    this.#connection = connection
    this.#sent = has
    this.#rate = maxRate === undefined ? undefined : new RateLimit(maxRate)
  }

  get epoch(): string {
    return this.#versions.epoch
  }

  get settled(): number | undefined {
    return this.wants ? undefined : this.#sent
  }

  get wants(): boolean {
    return this.#trouble !== undefined || this.#sent !== this.#versions.version.number
  }

  get readyIn(): number | undefined {
    return this.wants ? this.#rate?.readyIn : undefined
  }

  sendSome(): boolean {
    const { encoding } = this.#connection
    if (this.#trouble) {
      const message: ServerMessage = { ...this.#trouble, subscription: this.id }
      this.#trouble = undefined
      this.#connection.send(encoding.message(message, this.epoch))
    }
    if (!this.wants || (this.#rate && this.#rate.allowance < 1)) return false
    const { version } = this.#versions
    this.#rate?.take(1)
    this.#connection.send(version.frame(encoding, this.id, this.epoch, this.#sent))
    this.#sent = version.number
    return false
  }

  conflate(): void {}

  sample(): number {
    return 0
  }

  /** There is another version. */
  changed(): void {
    this.#connection.wake()
  }

  /** A run has failed, and will be tried again; of several such the last is told. */
  failed(error: Pick<ErrorMessage, 'code' | 'message'>): void {
    this.#trouble = { id: null, type: 'error', ...error, retry: true }
    this.#connection.wake()
  }

  end(ending: Ending): void {
    this.#connection.ended(this, ending)
  }
}
