import type { ChannelHead, LiveLog } from '../core/live-log.ts'
import type { Channel } from './channel.ts'
import { ChannelEvent } from './channel-event.ts'
import { type Matcher, matchAlone } from './matcher.ts'
import type { Since } from './protocol.ts'

/** How far back the last n matching events are looked for. */
const historyEvents = 10_000
const historyPage = 500

/** Where a subscription begins. */
export interface Beginning {
  /** Offset of the first event that it may be sent. */
  readonly from: number
  /** Whether that is everything it asked for. */
  readonly recovered: boolean
}

/** The channel's offsets have started anew, which whoever reads it has not noticed yet. */
export class StaleChannel extends Error {}

/** Throws `StaleChannel`. */
export async function begin(channel: Channel, matcher: Matcher, since: Since): Promise<Beginning> {
  const head = await channel.log.head(channel.name)
  if (head.epoch !== channel.epoch) throw new StaleChannel(channel.name)
  // The channel may have been handed events already that this head does not know yet.
  const next = Math.max(head.next, channel.next)
  if (since === 'latest') return { from: next, recovered: true }
  if ('last' in since) {
    return { from: await lastMatching(channel, matcher, since.last, head.first, next), recovered: true }
  }
  if ('time' in since) return sinceTime(channel, { ...head, next }, since.time)
  if ('ago' in since) return sinceTime(channel, { ...head, next }, Date.now() - since.ago)
  const from = since.offset + 1
  const recovered = since.epoch === channel.epoch && from >= head.first && from <= next
  return { from: recovered ? from : next, recovered }
}

/** The offset from which `count` events match up to `next`, or as many as are kept and looked at. */
async function lastMatching(channel: Channel, matcher: Matcher, count: number, first: number, next: number) {
  if (count === 0) return next
  if (!matcher.rows && !matcher.filter && !matcher.similar) return Math.max(first, next - count)
  let found = 0
  let from = next
  const least = Math.max(first, next - historyEvents)
  while (from > least) {
    const start = Math.max(least, from - historyPage)
    const page = (await channel.log.read(channel.name, start, from - start)).filter(({ offset }) => offset < from)
    const events = page.map((event) => new ChannelEvent(channel.name, event))
    const { matched } = matchAlone(matcher, events, channel.queries)
    const wanted = matched.at(-(count - found))
    if (wanted) return wanted.offset
    found += matched.length
    from = start
  }
  return from
}

async function sinceTime(channel: Channel, head: ChannelHead, time: number): Promise<Beginning> {
  const { offset, older } = await firstSince(channel.log, channel.name, head, time)
  return { from: offset, recovered: older }
}

/**
 * The offset of the first event that was appended at or after a time, milliseconds since 1970. Offsets have no holes and
 * times ascend with them, so a few reads find it. `older`: everything since then is there, for an event from before that
 * time is still kept, or none was ever dropped.
 */
export async function firstSince(
  log: LiveLog,
  channel: string,
  { first, next }: ChannelHead,
  time: number,
): Promise<{ readonly offset: number; readonly older: boolean }> {
  let [low, high] = [first, next]
  let older = first === 0
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2)
    const [event] = await log.read(channel, middle, 1)
    // Without an event, or with a later one, what is in between has been dropped just now.
    if (!event) high = middle
    else if (event.appended >= time) high = middle
    else {
      older = true
      low = event.offset + 1
    }
  }
  return { offset: low, older }
}
