import { plural } from '../format.ts'
import { Section } from '../parts/section.tsx'
import type { PipelineFeed } from '../pipeline-feed.ts'
import { PipelineCard } from './pipeline-card.tsx'

export function Pipelines({ feed: { pipelines, history } }: { readonly feed: PipelineFeed }) {
  const count = pipelines === undefined ? undefined : <span class="muted">{plural(pipelines.length, 'pipeline')}</span>
  return (
    <Section id="pipelines" title="Pipelines" aside={count}>
      {pipelines === undefined ? (
        <div class="pipeline-grid" aria-busy="true">
          <div class="pipeline placeholder" />
        </div>
      ) : pipelines.length === 0 ? (
        <p class="empty">
          No pipeline runs yet. Put a YAML file into <code>pipelines/</code> and start <code>millrace run</code> again,
          or begin with an example: <code>millrace init</code>.
        </p>
      ) : (
        <div class="pipeline-grid">
          {pipelines.map((pipeline) => (
            <PipelineCard key={pipeline.name} pipeline={pipeline} history={history.get(pipeline.name) ?? []} />
          ))}
        </div>
      )}
    </Section>
  )
}
