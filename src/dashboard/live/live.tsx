import { useMemo, useState } from 'preact/hooks'
import type { SubscribeOptions } from '../../client/index.ts'
import type { Channel, PipelineFile } from '../api.ts'
import { formatCount, plural } from '../format.ts'
import { FeedMark } from '../parts/feed-mark.tsx'
import { Picker } from '../parts/picker.tsx'
import { Problem } from '../parts/problem.tsx'
import { Section } from '../parts/section.tsx'
import { channelsOf } from '../pipeline-text.ts'
import { useList } from '../use-list.ts'
import { useSettled } from '../use-settled.ts'
import { ChannelFacts } from './channel-facts.tsx'
import { Conditions, noConditions } from './conditions.tsx'
import { Stream } from './stream.tsx'
import { mostPerSecond, useChannel } from './use-channel.ts'
import { useHold } from './use-hold.ts'

/** A channel's events as they come. */
export function Live({ files }: { readonly files: readonly PipelineFile[] }) {
  const known = useList<Channel>('channels')
  const names = [...(known.items?.map(({ name }) => name) ?? []), ...files.flatMap(({ text }) => channelsOf(text))]
  const channels = [...new Set(names)].sort()
  const [wanted, setWanted] = useState<string | undefined>(undefined)
  const channel = wanted ?? channels[0]
  const [conditions, setConditions] = useState(noConditions)
  const { similar, minScore, filter } = useSettled(conditions, 350)
  const options = useMemo<SubscribeOptions>(() => {
    return {
      ...(similar.trim() === '' ? {} : { similar: { text: similar.trim(), minScore } }),
      ...(filter.trim() === '' ? {} : { filter: filter.trim() }),
    }
  }, [similar, minScore, filter])
  const view = useChannel(channel, options)
  const [paused, setPaused] = useState(false)
  const { shown, waiting } = useHold(view.items, paused)
  return (
    <Section
      id="live"
      title="Live"
      aside={
        <>
          <Picker label="Channel" options={channels} chosen={channel} onChoose={setWanted} />
          {channel !== undefined && (
            <FeedMark live={view.subscribed} failed={view.error !== undefined} paused={paused} />
          )}
          <button type="button" class="small" disabled={channel === undefined} onClick={() => setPaused(!paused)}>
            {paused ? 'Resume' : 'Pause'}
          </button>
        </>
      }
    >
      <ChannelFacts channel={channel} />
      <Conditions conditions={conditions} onChange={setConditions} />
      {(view.error ?? known.error) !== undefined && <Problem error={view.error ?? known.error} />}
      {view.warning !== undefined && <p class="notice">{view.warning}</p>}
      {view.leftOut > 0 && (
        <p class="notice">
          {plural(view.leftOut, 'event')} left out here: this page takes at most {mostPerSecond} a second.
        </p>
      )}
      {paused && waiting > 0 && (
        <button type="button" class="notice waiting" onClick={() => setPaused(false)}>
          {formatCount(waiting)} newer
        </button>
      )}
      <Stream items={shown} empty={emptyText(channel, conditions !== noConditions)} onOpen={() => setPaused(true)} />
    </Section>
  )
}

function emptyText(channel: string | undefined, conditional: boolean) {
  if (channel === undefined) {
    return (
      <>
        No pipeline pushes to a channel yet. Add a sink to one: <code>- live: my-channel</code>
      </>
    )
  }
  if (conditional) return <>Nothing matches so far. What comes and matches appears here.</>
  return (
    <>
      Nothing has come on <code>{channel}</code> yet. Publish an event here, or with <code>millrace publish</code>.
    </>
  )
}
