import type { PipelineFeed } from '../pipeline-feed.ts'
import { PipelineCard } from './pipeline-card.tsx'

export function Pipelines({ feed: { pipelines, history } }: { readonly feed: PipelineFeed }) {
  return (
    <section class="pipelines" aria-label="Pipelines">
      {pipelines === undefined ? (
        <div class="pipeline-grid" aria-busy="true">
          <div class="pipeline placeholder" />
        </div>
      ) : pipelines.length === 0 ? (
        <div class="panel">
          <p class="empty">
            No pipeline runs yet that you may see. Put a YAML file into <code>pipelines/</code> and start{' '}
            <code>millrace run</code> again, or begin with an example: <code>millrace init</code>.
          </p>
        </div>
      ) : (
        <div class="pipeline-grid">
          {pipelines.map((pipeline) => (
            <PipelineCard key={pipeline.name} pipeline={pipeline} history={history.get(pipeline.name) ?? []} />
          ))}
        </div>
      )}
    </section>
  )
}
