import type { JsonValue, LiveEvent } from '../client/index.ts'
import {
  type ChannelRequest,
  type ChannelStatus,
  nothingYet,
  openChannel,
  type PlainSubscribeOptions,
} from './channel-source.ts'
import { Sources } from './shared.ts'
import { useSource } from './use-source.ts'

export interface ChannelView<Value> extends ChannelStatus {
  /** Newest last. A value of null retracts what came before under the same id. */
  readonly events: readonly LiveEvent<Value>[]
  readonly latest: LiveEvent<Value> | undefined
}

export interface ChannelOptions extends PlainSubscribeOptions {
  /** Most events in `events`; 100 when left out. */
  readonly keep?: number | undefined
}

const defaultKeep = 100

const channels = new Sources<ChannelRequest, ChannelView<JsonValue>>(
  { ...nothingYet, events: [], latest: undefined },
  (client, request, changed) => {
    const { keep } = request
    let events: LiveEvent[] = []
    return openChannel(client, request, changed, {
      add: (event) => {
        events.push(event)
        // Cut now and then, since a view that has been given out must not change.
        if (events.length > 2 * keep) events = newest(events, keep)
      },
      view: (status) => {
        const shown = newest(events, keep)
        return { ...status, events: shown, latest: shown.at(-1) }
      },
    })
  },
)

function newest(events: readonly LiveEvent[], count: number): LiveEvent[] {
  return events.slice(Math.max(0, events.length - count))
}

/** The newest events of a channel, and each as it comes. Without a channel there is nothing to see. */
export function useChannel<Value = JsonValue>(channel: string | undefined, options?: ChannelOptions): ChannelView<Value>
export function useChannel(
  channel: string | undefined,
  { keep = defaultKeep, ...options }: ChannelOptions = {},
): ChannelView<JsonValue> {
  return useSource(channels, channel === undefined ? undefined : { channel, options, keep })
}
