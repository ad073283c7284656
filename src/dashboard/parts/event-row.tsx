import type { ComponentChildren } from 'preact'
import type { JsonValue } from '../../client/index.ts'
import { factsOf } from '../facts.ts'
import { formatTime } from '../format.ts'
import { JsonView } from './json-view.tsx'
import { Marked } from './marked.tsx'
import { Score } from './score.tsx'

const none: ReadonlySet<string> = new Set()

interface Props {
  /** Milliseconds since the Unix epoch. */
  readonly time: number
  readonly value: JsonValue
  readonly score?: number | undefined
  /** How much of the score is due to words; left out where meaning alone was compared. */
  readonly byWords?: number | undefined
  /** Words that stand out in it, as `wordsIn` has them. */
  readonly words?: ReadonlySet<string>
  /** Where it stands, such as `support.tickets/0/41`. */
  readonly place: string
  readonly fresh?: boolean
  readonly onToggle?: (open: boolean) => void
  readonly children?: ComponentChildren
}

/** An event in one line, that opens to all of it. */
export function EventRow(props: Props) {
  const { time, value, score, byWords, words = none, place, fresh = false, onToggle, children } = props
  const { title, text, short } = factsOf(value)
  return (
    <details class={fresh ? 'event fresh' : 'event'} onToggle={({ currentTarget }) => onToggle?.(currentTarget.open)}>
      <summary>
        <time dateTime={new Date(time).toISOString()}>{formatTime(time)}</time>
        {score !== undefined && <Score score={score} byWords={byWords} />}
        <span class="event-text">
          {value === null ? (
            <em>retracted</em>
          ) : (
            <strong>
              <Marked text={title} words={words} />
            </strong>
          )}
          {text !== undefined && (
            <span>
              {' '}
              <Marked text={text} words={words} />
            </span>
          )}
        </span>
        <span class="facts">
          {short.map((field) => (
            <span class="fact" key={field.name} title={field.name}>
              {field.label}
            </span>
          ))}
        </span>
      </summary>
      <div class="event-detail">
        <p class="muted">
          <code>{place}</code>
        </p>
        {children}
        <JsonView value={value} />
      </div>
    </details>
  )
}
