import type { Client, ConnectionState, Gap, LiveEvent, MillraceClientError, SubscribeOptions } from '../client/index.ts'
import type { Source } from './shared.ts'

/**
 * `connecting` until events flow for the first time; `live` while they do; `reconnecting` while what is shown may be out
 * of date; `failed` when the server has refused, and `error` says why.
 */
export type FeedState = 'connecting' | 'live' | 'reconnecting' | 'failed'

/** How what is shown stands. */
export interface FeedStatus {
  readonly state: FeedState
  /** Something is not as it was asked for, and it goes on nevertheless. */
  readonly warning: MillraceClientError | undefined
  /** Why the server refused. */
  readonly error: MillraceClientError | undefined
}

export interface ChannelStatus extends FeedStatus {
  /** The newest hole in what has come. With the reason `unrecovered`, what is shown may be wrong for good. */
  readonly gap: Gap | undefined
}

/** Options of `subscribe` that count by value. */
export type PlainSubscribeOptions = Omit<SubscribeOptions, 'storage'>

export interface ChannelRequest {
  readonly channel: string
  readonly options: PlainSubscribeOptions
  /** Most events that are kept. */
  readonly keep: number
}

export const notYet = { state: 'connecting', warning: undefined, error: undefined } as const satisfies FeedStatus
export const nothingYet: ChannelStatus = { ...notYet, gap: undefined }

/** What a subscription and a live query have in common. */
interface Told {
  on(type: 'subscribed', listener: () => void): void
  on(type: 'warning' | 'error', listener: (error: MillraceClientError) => void): void
}

/** Keeps the status of a subscription. Answers what ends that. */
export function keepStatus(client: Client, told: Told, become: (change: Partial<FeedStatus>) => void): () => void {
  let live = false
  told.on('subscribed', () => {
    live = true
    become({ state: 'live' })
  })
  told.on('warning', (warning) => become({ warning }))
  told.on('error', (error) => become({ state: 'failed', error }))
  return client.onState((state: ConnectionState) => {
    if (state !== 'open' && live) become({ state: 'reconnecting' })
    if (state !== 'open') live = false
  })
}

/** Subscribes, hands each event on, and knows how it stands. */
export function openChannel<View>(
  client: Client,
  { channel, options }: ChannelRequest,
  changed: () => void,
  { add, view }: { readonly add: (event: LiveEvent) => void; readonly view: (status: ChannelStatus) => View },
): Source<View> {
  let status = nothingYet
  const become = (change: Partial<ChannelStatus>) => {
    status = { ...status, ...change }
    changed()
  }
  const subscription = client.subscribe(channel, options)
  const unlisten = keepStatus(client, subscription, become)
  subscription.on('gap', (gap) => become({ gap }))
  subscription.on('event', (event) => {
    add(event)
    changed()
  })
  return {
    view: () => view(status),
    close: () => {
      unlisten()
      subscription.close()
    },
  }
}
