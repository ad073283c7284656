import type { EventFrame, JsonValue, SubscribeOptions } from '../client/index.ts'
import { type ChannelRequest, type ChannelStatus, notYet, openChannel } from './channel-source.ts'
import { Sources } from './shared.ts'
import type { LiveEvent } from './use-channel.ts'
import { useSource } from './use-source.ts'

export interface LatestView<Value> extends ChannelStatus {
  /** By id or key; what has changed last is last, and what was retracted is not there. */
  readonly latest: ReadonlyMap<string, LiveEvent<Value>>
}

export interface LatestOptions extends SubscribeOptions {
  /** What there is one event of; `id` when left out. An event without a key counts by its id. */
  readonly by?: 'id' | 'key' | undefined
  /** Most entries: beyond them those that have not changed for the longest time are dropped. 1,000 when left out. */
  readonly keep?: number | undefined
}

interface LatestRequest extends ChannelRequest {
  readonly by: 'id' | 'key'
}

const defaultKeep = 1_000

const latestOf = new Sources<LatestRequest, LatestView<JsonValue>>(
  { ...notYet, latest: new Map() },
  (client, request, changed) => {
    const latest = new Map<string, EventFrame>()
    return openChannel(client, request, changed, {
      add: (event) => apply(latest, event, request),
      view: (status) => ({ ...status, latest: new Map(latest) }),
    })
  },
)

function apply(latest: Map<string, EventFrame>, event: EventFrame, { by, keep }: LatestRequest): void {
  const name = (by === 'key' ? event.key : null) ?? event.id
  const before = latest.get(name)
  const same = before?.id === event.id
  if (same && (before.version ?? 0) > (event.version ?? 0)) return
  // Under one key there may be another event by now, which this does not retract.
  if (event.value === null && !same) return
  latest.delete(name)
  if (event.value === null) return
  latest.set(name, event)
  for (const oldest of latest.keys()) {
    if (latest.size <= keep) break
    latest.delete(oldest)
  }
}

/** What now stands on a channel: the latest event of each id or key, with retractions applied. */
export function useLatest<Value = JsonValue>(channel: string | undefined, options?: LatestOptions): LatestView<Value>
export function useLatest(
  channel: string | undefined,
  { by = 'id', keep = defaultKeep, ...options }: LatestOptions = {},
): LatestView<JsonValue> {
  return useSource(latestOf, channel === undefined ? undefined : { channel, options, by, keep })
}
