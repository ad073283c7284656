import type { Client, EventFrame, Gap, MillraceClientError, SubscribeOptions } from '../client/index.ts'
import type { Source } from './shared.ts'

/**
 * `connecting` until events flow for the first time; `live` while they do; `reconnecting` while what is shown may be out
 * of date; `failed` when the server has refused, and `error` says why.
 */
export type FeedState = 'connecting' | 'live' | 'reconnecting' | 'failed'

/** What every view of a channel has. */
export interface ChannelStatus {
  readonly state: FeedState
  /** The newest hole in what has come. With the reason `unrecovered`, what is shown may be wrong for good. */
  readonly gap: Gap | undefined
  /** Why the server refused. */
  readonly error: MillraceClientError | undefined
}

export interface ChannelRequest {
  readonly channel: string
  readonly options: SubscribeOptions
  /** Most events that are kept. */
  readonly keep: number
}

export const notYet: ChannelStatus = { state: 'connecting', gap: undefined, error: undefined }

/** Subscribes, hands each event on, and knows how it stands. */
export function openChannel<View>(
  client: Client,
  { channel, options }: ChannelRequest,
  changed: () => void,
  { add, view }: { readonly add: (event: EventFrame) => void; readonly view: (status: ChannelStatus) => View },
): Source<View> {
  let status = notYet
  const become = (next: Partial<ChannelStatus>) => {
    status = { ...status, ...next }
    changed()
  }
  const subscription = client.subscribe(channel, options)
  subscription.on('event', (event) => {
    add(event)
    changed()
  })
  subscription.on('subscribed', () => become({ state: 'live' }))
  subscription.on('gap', (gap) => become({ gap }))
  subscription.on('error', (error) => become({ state: 'failed', error }))
  const unlisten = client.onState((state) => {
    if (state !== 'open' && status.state === 'live') become({ state: 'reconnecting' })
  })
  return {
    view: () => view(status),
    close: () => {
      unlisten()
      subscription.close()
    },
  }
}
