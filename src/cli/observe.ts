import { type PipelineControl, pipelineStates } from '../core/pipeline.ts'
import type { EmbedderStats } from '../embedding/embedder.ts'
import type { Metrics } from '../telemetry/index.ts'

/** Brings the metrics of what has a state of its own up to date; to be called before each scrape. */
export function createObserver(
  metrics: Metrics,
  pipelines: PipelineControl,
  embedderStats: () => Promise<EmbedderStats | undefined>,
): () => Promise<void> {
  let before = { computed: 0, tokens: 0, truncated: 0, memoryHits: 0, diskHits: 0, sharedHits: 0 }
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
    const stats = await embedderStats()
    if (!stats) return
    metrics.embedderTexts.inc({ origin: 'model' }, stats.computed - before.computed)
    metrics.embedderTexts.inc({ origin: 'memory' }, stats.memoryHits - before.memoryHits)
    metrics.embedderTexts.inc({ origin: 'disk' }, stats.diskHits - before.diskHits)
    metrics.embedderTexts.inc({ origin: 'shared' }, stats.sharedHits - before.sharedHits)
    metrics.embedderTokens.inc(stats.tokens - before.tokens)
    metrics.embedderTruncated.inc(stats.truncated - before.truncated)
    metrics.embedderQueue.set(stats.queueDepth)
    before = stats
  }
}
