import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'

/** Every metric of the process, by Prometheus' naming rules: seconds and bytes, counters end in `_total`. */
export interface Metrics {
  readonly registry: Registry
  /** Events that lanes took from their source. */
  readonly eventsRead: Counter<'pipeline'>
  /** Events that a sink accepted. */
  readonly eventsWritten: Counter<'pipeline' | 'sink'>
  /** Events that a processor let go of, such as a filter. */
  readonly eventsDropped: Counter<'pipeline'>
  readonly eventsDeadLettered: Counter<'pipeline' | 'component'>
  /** Writes that were tried again because the other side was down or busy. */
  readonly retries: Counter<'pipeline' | 'sink'>
  /** Events in the source that are not yet committed. */
  readonly lag: Gauge<'pipeline'>
  /** 1 for the state that a pipeline is in, 0 for the others. */
  readonly pipelineState: Gauge<'pipeline' | 'state'>
  readonly sinkWriteSeconds: Histogram<'pipeline' | 'sink'>
  /** From an event's timestamp to its acceptance by the live sink, or by the last event sink. */
  readonly latencySeconds: Histogram<'pipeline'>
  /** Texts that the embedder was asked for, by where they were found: a cache, in flight, or nowhere. */
  readonly embedderLookups: Counter<'found'>
  /** Texts that went through the model, and their tokens. */
  readonly embedderTexts: Counter
  readonly embedderTokens: Counter
  /** Texts that were longer than the model takes, and cut. */
  readonly embedderTruncated: Counter
  /** Runs of the model, or requests to the server that computes. */
  readonly embedderBatches: Counter
  /** Texts that wait or run now. */
  readonly embedderQueue: Gauge
  /** Calls that wait for room in the queue now. */
  readonly embedderCallersWaiting: Gauge
  /** Threads that run the model now, or requests that may be under way at once. */
  readonly embedderThreads: Gauge
  /** Threads that died and were replaced. */
  readonly embedderRestarts: Counter
  /** Requests to a remote embedder, by how they ended. */
  readonly embedderRequestSeconds: Histogram<'outcome'>
  readonly httpSeconds: Histogram<'method' | 'route' | 'status'>
  readonly liveSessions: Gauge<'transport'>
  readonly liveSubscriptions: Gauge<'channel'>
  readonly liveMembers: Gauge<'channel'>
  /** Events handed to subscribers, each counted once per subscriber. */
  readonly liveDelivered: Counter<'channel'>
  /** Events that slow or rate-limited subscribers were not sent; each was told so by a gap. */
  readonly liveSkipped: Counter<'channel' | 'reason'>
  readonly liveClosed: Counter<'code'>
  /** Prometheus text. */
  text(): Promise<string>
  readonly contentType: string
  /** Stops watching the event loop. */
  close(): void
}

/** From a millisecond to a minute. */
const secondsBuckets = [0.001, 0.002, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

/** A registry of its own: two in one process do not meet. */
export function createMetrics(): Metrics {
  const registry = new Registry()
  const registers = [registry]
  const counter = <T extends string>(name: string, help: string, ...labelNames: T[]): Counter<T> =>
    new Counter({ name, help, labelNames, registers })
  const gauge = <T extends string>(name: string, help: string, ...labelNames: T[]): Gauge<T> =>
    new Gauge({ name, help, labelNames, registers })
  const seconds = <T extends string>(name: string, help: string, ...labelNames: T[]): Histogram<T> =>
    new Histogram({ name, help, labelNames, buckets: secondsBuckets, registers })
  const stopProcess = observeProcess(registry)

  return {
    registry,
    eventsRead: counter('millrace_events_read_total', 'Events read from the source.', 'pipeline'),
    eventsWritten: counter('millrace_events_written_total', 'Events accepted by a sink.', 'pipeline', 'sink'),
    eventsDropped: counter('millrace_events_dropped_total', 'Events that a processor let go of.', 'pipeline'),
    eventsDeadLettered: counter(
      'millrace_events_dead_lettered_total',
      'Events sent to the dead letters.',
      'pipeline',
      'component',
    ),
    retries: counter('millrace_retries_total', 'Writes that were tried again.', 'pipeline', 'sink'),
    lag: gauge('millrace_lag', 'Events in the source that are not yet committed.', 'pipeline'),
    pipelineState: gauge('millrace_pipeline_state', '1 for the state a pipeline is in.', 'pipeline', 'state'),
    sinkWriteSeconds: seconds('millrace_sink_write_seconds', 'Duration of one write to a sink.', 'pipeline', 'sink'),
    latencySeconds: seconds('millrace_latency_seconds', "From an event's timestamp to its acceptance.", 'pipeline'),
    embedderLookups: counter('millrace_embedder_lookups_total', 'Texts asked for, by where they were found.', 'found'),
    embedderTexts: counter('millrace_embedder_texts_total', 'Texts that went through the model.'),
    embedderTokens: counter('millrace_embedder_tokens_total', 'Tokens that went through the model.'),
    embedderTruncated: counter('millrace_embedder_truncated_total', 'Texts that were cut.'),
    embedderBatches: counter('millrace_embedder_batches_total', 'Runs of the model, or requests to its server.'),
    embedderQueue: gauge('millrace_embedder_queue', 'Texts that wait or run now.'),
    embedderCallersWaiting: gauge('millrace_embedder_callers_waiting', 'Calls that wait for room in the queue.'),
    embedderThreads: gauge('millrace_embedder_threads', 'Threads of the model, or most requests at a time.'),
    embedderRestarts: counter('millrace_embedder_restarts_total', 'Threads that died and were replaced.'),
    embedderRequestSeconds: seconds(
      'millrace_embedder_request_seconds',
      'Duration of requests to a remote embedder.',
      'outcome',
    ),
    httpSeconds: seconds('millrace_http_request_seconds', 'Duration of HTTP requests.', 'method', 'route', 'status'),
    liveSessions: gauge('millrace_live_sessions', 'Connected live sessions.', 'transport'),
    liveSubscriptions: gauge('millrace_live_subscriptions', 'Live subscriptions.', 'channel'),
    liveMembers: gauge('millrace_live_members', 'Sessions of this process that are present.', 'channel'),
    liveDelivered: counter('millrace_live_delivered_total', 'Events handed to subscribers.', 'channel'),
    liveSkipped: counter('millrace_live_skipped_total', 'Events withheld from subscribers.', 'channel', 'reason'),
    liveClosed: counter('millrace_live_closed_total', 'Live sessions closed by the server.', 'code'),
    text: () => registry.metrics(),
    contentType: registry.contentType,
    close: stopProcess,
  }
}

/** The customary process metrics, under the names that dashboards for Node.js know. Returns what stops them. */
function observeProcess(registry: Registry): () => void {
  const delay = monitorEventLoopDelay({ resolution: 10 })
  delay.enable()
  const collected = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read())
      },
    })
  const cpu = () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  }
  // The histogram measures whole timer periods, so the period itself is taken off.
  const lag = (percentile: number) => Math.max(0, (delay.percentile(percentile) - 1e7) / 1e9)
  collected('process_cpu_seconds_total', 'CPU time, user and system.', cpu)
  collected('process_resident_memory_bytes', 'Resident memory.', () => process.memoryUsage.rss())
  collected(
    'process_start_time_seconds',
    'Start of the process, Unix time.',
    () => Date.now() / 1000 - process.uptime(),
  )
  collected('nodejs_heap_size_used_bytes', 'JavaScript heap in use.', () => process.memoryUsage().heapUsed)
  collected('nodejs_eventloop_lag_p50_seconds', 'Event-loop delay since the last scrape, median.', () => lag(50))
  new Gauge({
    name: 'nodejs_eventloop_lag_p99_seconds',
    help: 'Event-loop delay since the last scrape, 99th percentile.',
    registers: [registry],
    collect() {
      this.set(lag(99))
      delay.reset()
    },
  })
  return () => {
    delay.disable()
  }
}
