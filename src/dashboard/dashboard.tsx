import { formatRate, plural } from './format.ts'
import { Live } from './live/live.tsx'
import { Problem } from './parts/problem.tsx'
import { Race } from './parts/race.tsx'
import { ThemeToggle } from './parts/theme-toggle.tsx'
import { Wordmark } from './parts/wordmark.tsx'
import { usePipelineFeed } from './pipeline-feed.ts'
import { Pipelines } from './pipelines/pipelines.tsx'
import { Publish } from './publish/publish.tsx'
import { Queries } from './queries/queries.tsx'
import { Query } from './query/query.tsx'
import { Search } from './search/search.tsx'
import { useClient } from './session.ts'
import { usePipelineFiles } from './use-pipeline-files.ts'

export function Dashboard() {
  const feed = usePipelineFeed(useClient())
  const files = usePipelineFiles(feed.pipelines)
  const rate = (feed.pipelines ?? []).reduce((sum, pipeline) => sum + pipeline.rate, 0)
  const connected = feed.error === undefined
  return (
    <>
      <header class="page-head">
        <h1>
          <Wordmark flowing={connected && rate >= 0.05} />
        </h1>
        <p class="page-rate">
          {feed.pipelines !== undefined && connected && (
            <>
              <strong>{formatRate(rate)}</strong> events/s
              <span class="wide"> through {plural(feed.pipelines.length, 'pipeline')}</span>
            </>
          )}
          {!connected && <span class="state failed">not connected</span>}
        </p>
        <ThemeToggle />
      </header>
      <Race />
      <main>
        {!connected && <Problem error={feed.error} />}
        {!feed.elsewhere && <Pipelines feed={feed} />}
        <div class="columns">
          <Live files={files} />
          <div class="column">
            <Publish files={files} pipelines={feed.pipelines ?? []} />
            <Search />
          </div>
        </div>
        <Queries />
        <Query />
      </main>
    </>
  )
}
