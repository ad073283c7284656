import type { ComponentChildren } from 'preact'
import { plural } from '../format.ts'
import { EventRow } from '../parts/event-row.tsx'
import type { Item } from './use-channel.ts'

interface Props {
  /** Newest first. */
  readonly items: readonly Item[]
  readonly empty: ComponentChildren
  /** Someone reads an event: it must not run away. */
  readonly onOpen: () => void
}

export function Stream({ items, empty, onOpen }: Props) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable with the keyboard.
    <div class="stream" role="log" aria-live="off" aria-label="Events, newest first" tabIndex={0}>
      {items.length === 0 && <p class="empty">{empty}</p>}
      {items.map((item) => (
        <StreamItem key={item.id} item={item} onOpen={onOpen} />
      ))}
    </div>
  )
}

function StreamItem({ item, onOpen }: { readonly item: Item; readonly onOpen: () => void }) {
  if (item.kind === 'gap') return <p class="gap">{gapText(item.gap)}</p>
  const { id, time, value, score } = item.frame
  return (
    <EventRow
      time={time}
      value={value}
      score={score}
      place={id}
      fresh={item.fresh}
      onToggle={(open) => open && onOpen()}
    />
  )
}

function gapText({ reason, from, to, count }: Extract<Item, { kind: 'gap' }>['gap']): string {
  if (reason === 'unrecovered') {
    return 'Events may be missing here: the connection broke, and the server no longer has all that came meanwhile.'
  }
  return `Up to ${plural(count ?? to - from + 1, 'event')} missing here: the server no longer keeps them.`
}
