import { useEffect } from 'react'
import type { Client, JsonValue, PresenceMember, Subscription } from '../client/index.ts'
import { type FeedStatus, keepStatus, notYet } from './channel-source.ts'
import { type Source, Sources } from './shared.ts'
import { useSource } from './use-source.ts'

/** A session on a channel, with the state that it shows. */
export interface Member<State> extends Omit<PresenceMember, 'state'> {
  readonly state: State
}

export interface PresenceView<State> extends FeedStatus {
  /** In the order in which they came, oneself among them. */
  readonly members: readonly Member<State>[]
}

interface Presence extends PresenceView<JsonValue> {
  readonly show: (state: JsonValue) => void
}

interface PresenceRequest {
  readonly channel: string
  readonly join: boolean
}

/** Who is there is all that is wanted of the channel. */
const noEvents = 'false'

class PresenceSource implements Source<Presence> {
  readonly #client: Client
  readonly #channel: string
  readonly #changed: () => void
  #status: FeedStatus = notYet
  #subscription: Subscription | undefined
  #unlisten: (() => void) | undefined
  #closed = false

  /** Whoever joins does so with the first state that is shown, so that the others never see one without. */
  constructor(client: Client, { channel, join }: PresenceRequest, changed: () => void) {
    this.#client = client
    this.#channel = channel
    this.#changed = changed
    if (!join) this.#subscribe({ join })
  }

  view(): Presence {
    return { ...this.#status, members: this.#subscription?.members ?? [], show: this.#show }
  }

  close(): void {
    this.#closed = true
    this.#unlisten?.()
    this.#subscription?.close()
  }

  readonly #show = (state: JsonValue): void => {
    if (this.#subscription) this.#subscription.setState(state).catch((warning) => this.#become({ warning }))
    else if (!this.#closed) this.#subscribe({ state })
  }

  #subscribe(presence: { readonly join?: boolean; readonly state?: JsonValue }): void {
    this.#subscription = this.#client.subscribe(this.#channel, { filter: noEvents, presence })
    this.#subscription.on('presence', this.#changed)
    this.#unlisten = keepStatus(this.#client, this.#subscription, (change) => this.#become(change))
  }

  #become(change: Partial<FeedStatus>): void {
    this.#status = { ...this.#status, ...change }
    this.#changed()
  }
}

const presences = new Sources<PresenceRequest, Presence>(
  { ...notYet, members: [], show: () => undefined },
  (client, request, changed) => new PresenceSource(client, request, changed),
)

/**
 * Who is on a channel. With a `state`, which counts by value, this page is there too, and that is what the others see of
 * it; one component of a page should give it. Without a channel there is nothing to see.
 */
export function usePresence<State = JsonValue>(channel: string | undefined, state?: JsonValue): PresenceView<State>
export function usePresence(channel: string | undefined, state?: JsonValue): PresenceView<JsonValue> {
  const shown = state === undefined ? undefined : JSON.stringify(state)
  const request = channel === undefined ? undefined : { channel, join: shown !== undefined }
  const { show, ...view } = useSource(presences, request)
  useEffect(() => {
    if (shown !== undefined) show(JSON.parse(shown))
  }, [show, shown])
  return view
}
