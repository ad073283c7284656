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

/** An event that stands: it was not retracted. */
export interface StandingEvent<Value> extends Omit<LiveEvent, 'value'> {
  readonly value: Value
}

export interface LatestView<Value> extends ChannelStatus {
  /** By id or key; what has changed last is last, and what was retracted is not there. */
  readonly latest: ReadonlyMap<string, StandingEvent<Value>>
}

export interface LatestOptions extends PlainSubscribeOptions {
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
  { ...nothingYet, latest: new Map() },
  (client, request, changed) => {
    const latest = new Map<string, LiveEvent>()
    return openChannel(client, request, changed, {
      add: (event) => apply(latest, event, request),
      view: (status) => ({ ...status, latest: new Map(latest) }),
    })
  },
)

function apply(latest: Map<string, LiveEvent>, event: LiveEvent, { by, keep }: LatestRequest): void {
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
