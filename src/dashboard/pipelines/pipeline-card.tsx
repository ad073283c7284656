import { useState } from 'preact/hooks'
import type { Pipeline } from '../api.ts'
import { formatCount, plural } from '../format.ts'
import type { Sample } from '../pipeline-feed.ts'
import { DeadLetters } from './dead-letters.tsx'
import { LagFigure, LatencyFigure, RateFigure } from './figures.tsx'
import { Lanes } from './lanes.tsx'
import { PauseButton } from './pause-button.tsx'
import { PipelineText } from './pipeline-text.tsx'

interface Props {
  readonly pipeline: Pipeline
  readonly history: readonly Sample[]
}

type Detail = 'file' | 'lanes' | 'dead letters'

export function PipelineCard({ pipeline, history }: Props) {
  const { name, state, reason, source, sinks, lanes, latency, totals } = pipeline
  const [detail, setDetail] = useState<Detail | undefined>(undefined)
  const toggle = (which: Detail, label: string, alarming = false) => (
    <button
      type="button"
      class={alarming ? 'link alarming' : 'link'}
      aria-expanded={detail === which}
      onClick={() => setDetail(detail === which ? undefined : which)}
    >
      {label}
    </button>
  )
  return (
    <article class={`pipeline ${state}`} aria-label={`Pipeline ${name}`}>
      <header>
        <div>
          <h3>{name}</h3>
          <span class={`state ${state}`}>{state}</span>
        </div>
        <PauseButton pipeline={pipeline} />
      </header>
      <p class="flow">
        {source.join(', ')} <span aria-hidden="true">→</span> {sinks.join(' · ')}
      </p>
      {reason !== undefined && <p class={`reason ${state}`}>{reason}</p>}
      <dl class="figures">
        <RateFigure rate={pipeline.rate} history={history} />
        <LagFigure lag={pipeline.lag} history={history} />
        <LatencyFigure latency={latency} />
      </dl>
      <footer>
        <span class="totals">
          {formatCount(totals.read)} read, {formatCount(totals.written)} written
          {totals.dropped > 0 && `, ${formatCount(totals.dropped)} dropped`}
        </span>
        {toggle('dead letters', plural(totals.deadLettered, 'dead letter'), totals.deadLettered > 0)}
        {toggle('lanes', plural(lanes.length, 'lane'))}
        {toggle('file', 'YAML')}
      </footer>
      {detail === 'dead letters' && <DeadLetters pipeline={name} count={totals.deadLettered} />}
      {detail === 'lanes' && <Lanes lanes={lanes} />}
      {detail === 'file' && <PipelineText pipeline={name} />}
    </article>
  )
}
