import { newestEvents } from '../api.ts'
import { EventRow } from '../parts/event-row.tsx'
import { Problem } from '../parts/problem.tsx'
import { useAnswer } from '../use-answer.ts'

const shown = 10

/** The newest dead letters of a pipeline. `count`: how many have come; they are read again when it changes. */
export function DeadLetters({ pipeline, count }: { readonly pipeline: string; readonly count: number }) {
  const topic = `${pipeline}.dlq`
  const { value: events, error } = useAnswer(`${topic} ${count}`, (client, signal) => {
    return newestEvents(client, topic, shown, signal)
  })
  if (error !== undefined) return <Problem error={error} />
  return (
    <div class="detail dead-letters">
      {events?.length === 0 && (
        <p class="muted">
          None. An event that can never be accepted goes to the topic <code>{topic}</code> with the reason.
        </p>
      )}
      {events?.map(({ partition, offset, timestamp, value, headers }) => (
        <EventRow key={`${partition}/${offset}`} time={timestamp} value={value} place={origin(headers)}>
          <p class="reason failed">
            {headers['millrace-component']}: {headers['millrace-message']}
          </p>
        </EventRow>
      ))}
    </div>
  )
}

function origin(headers: Readonly<Record<string, string>>): string {
  return ['topic', 'partition', 'offset'].map((name) => headers[`millrace-${name}`]).join('/')
}
