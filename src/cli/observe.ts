import type { PipelineControl } from '../core/pipeline.ts'
import { pipelineStates } from '../core/pipeline.ts'
import type { EmbedderStats } from '../embedding/embedder.ts'
import type { Metrics } from '../telemetry/index.ts'

type StatsOf = () => Promise<EmbedderStats | undefined>

/** Brings the metrics of what has a state of its own up to date; to be called before each scrape. */
export function createObserver(metrics: Metrics, pipelines: PipelineControl, stats: StatsOf): () => Promise<void> {
  const observeEmbedder = createEmbedderObserver(metrics, stats)
  return async () => {
    const statuses = await pipelines.list()
    // Nothing is awaited in between, so that no scrape finds them empty.
    metrics.lag.reset()
    metrics.pipelineState.reset()
    for (const { name, lag, state } of statuses) {
      metrics.lag.set({ pipeline: name }, lag)
      for (const each of pipelineStates) {
        metrics.pipelineState.set({ pipeline: name, state: each }, each === state ? 1 : 0)
      }
    }
    await observeEmbedder()
  }
}

/** The same of the embedder alone. */
export function createEmbedderObserver(metrics: Metrics, statsOf: StatsOf): () => Promise<void> {
  let before = { ...nothingYet }
  return async () => {
    const stats = await statsOf()
    if (!stats) return
    const grown = (name: keyof typeof nothingYet) => stats[name] - before[name]
    metrics.embedderLookups.inc({ found: 'memory' }, grown('memoryHits'))
    metrics.embedderLookups.inc({ found: 'disk' }, grown('diskHits'))
    metrics.embedderLookups.inc({ found: 'shared' }, grown('sharedHits'))
    metrics.embedderLookups.inc({ found: 'in_flight' }, grown('joined'))
    metrics.embedderLookups.inc({ found: 'none' }, grown('misses'))
    metrics.embedderTexts.inc(grown('computed'))
    metrics.embedderTokens.inc(grown('tokens'))
    metrics.embedderTruncated.inc(grown('truncated'))
    metrics.embedderBatches.inc(grown('batches'))
    metrics.embedderRestarts.inc(grown('restarts'))
    metrics.embedderQueue.set(stats.queueDepth)
    metrics.embedderCallersWaiting.set(stats.callersWaiting)
    metrics.embedderThreads.set(stats.threads)
    before = stats
  }
}

const nothingYet = {
  memoryHits: 0,
  diskHits: 0,
  sharedHits: 0,
  joined: 0,
  misses: 0,
  computed: 0,
  tokens: 0,
  truncated: 0,
  batches: 0,
  restarts: 0,
}
