import { formatMs } from '../format.ts'
import { JsonView } from '../parts/json-view.tsx'
import { Problem } from '../parts/problem.tsx'
import type { Progress } from './send.ts'

/** One published event: where it stands, and what came of it. */
export function ProgressLine({ progress: { topic, place, acceptedMs, outcome } }: { readonly progress: Progress }) {
  if (outcome?.kind === 'failed') return <Problem error={outcome.error} />
  return (
    <div class="outcome">
      {outcome === undefined && (
        <p class="muted">{place === undefined ? `Publishing to ${topic} …` : 'Accepted, on its way …'}</p>
      )}
      {outcome?.kind === 'note' && <p>{outcome.text}</p>}
      {outcome?.kind === 'dead letter' && (
        <p class="bad">
          It went to the dead letters of {outcome.pipeline}. {outcome.text}
        </p>
      )}
      {outcome?.kind === 'arrived' && (
        <details>
          <summary>
            <strong>Came through in {formatMs(outcome.ms)}</strong> on <code>{outcome.arrival.channel}</code>
          </summary>
          <JsonView value={outcome.arrival.frame.value} />
        </details>
      )}
      {place !== undefined && (
        <p class="muted">
          <code>{place}</code> accepted in {formatMs(acceptedMs ?? 0)}
        </p>
      )}
    </div>
  )
}
