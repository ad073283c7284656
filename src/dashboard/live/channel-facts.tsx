import type { Channel } from '../api.ts'
import { formatCount, formatRate } from '../format.ts'
import { usePoll } from '../use-poll.ts'

const pauseMs = 3_000

/** How a channel is used. Nothing is said of one that no event has come on. */
export function ChannelFacts({ channel }: { readonly channel: string | undefined }) {
  const path = channel === undefined ? undefined : `/v1/channels/${encodeURIComponent(channel)}`
  const { answer } = usePoll<Channel>(path, () => pauseMs)
  if (!answer) return null
  const { rate, subscriptions, members, events } = answer
  return (
    <dl class="channel-facts">
      <Fact name="Events/s" value={formatRate(rate)} title="Over the last minute" />
      <Fact name="Kept" value={formatCount(events)} title="Events that a subscription can begin with" />
      {subscriptions !== undefined && (
        <Fact name="Subscribed" value={formatCount(subscriptions)} title="Over all processes, this page among them" />
      )}
      <Fact name="Present" value={formatCount(members)} title="Sessions that let themselves be seen" />
    </dl>
  )
}

function Fact({ name, value, title }: { readonly name: string; readonly value: string; readonly title: string }) {
  return (
    <div title={title}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  )
}
