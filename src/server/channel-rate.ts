import type { ChannelHead, LiveLog } from '../core/live-log.ts'
import { firstSince } from '../live/index.ts'

const spanMs = 60_000

/** Events per second that were appended to a channel, over the last minute or as much of it as is kept. */
export async function channelRate(log: LiveLog, channel: string, head: ChannelHead): Promise<number> {
  const { first, next } = head
  const since = Date.now() - spanMs
  const [newest] = next > first ? await log.read(channel, next - 1, 1) : []
  // Most channels are quiet, and cost no search.
  if (!newest || newest.appended < since) return 0
  const { offset, older } = await firstSince(log, channel, head, since)
  const span = older ? spanMs : await sinceOldest(log, channel, offset)
  return Math.round(((next - offset) * 10_000) / span) / 10
}

async function sinceOldest(log: LiveLog, channel: string, offset: number): Promise<number> {
  const [oldest] = await log.read(channel, offset, 1)
  return oldest ? Math.max(1_000, Date.now() - oldest.appended) : spanMs
}
