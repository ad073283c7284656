import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import type { Analytics } from '../core/analytics.ts'
import type { Catalog } from '../core/component.ts'
import { errorMessage, MillraceError } from '../core/errors.ts'
import type { NewRecord } from '../core/event.ts'
import type { Expressions } from '../core/expression.ts'
import type { GivenEvent, PipelineSpec, PipelineTest } from '../core/pipeline.ts'
import type { Codec } from '../core/serde.ts'
import type { Services } from '../core/services.ts'
import { deadLetterTopic } from '../engine/dead-letters.ts'
import { intakeTopic } from '../engine/intake.ts'
import { Pipeline } from '../engine/pipeline.ts'
import { createMetrics, silentLog } from '../telemetry/index.ts'
import { type Difference, differences } from './expectation.ts'
import { isReadable, outputName, readDeadLetters, readOutput, type TestServices } from './pipeline-outputs.ts'

export interface ClosableServices extends Services {
  close(): Promise<void>
}

export interface TestRunnerOptions {
  readonly catalog: Catalog
  readonly expressions: Expressions
  /** Opens embedded services with their data in a folder. */
  open(folder: string): ClosableServices
  /** How long one test may take, in milliseconds. Default one minute: the first may have to load a model. */
  readonly timeoutMs?: number
}

export interface TestResult {
  readonly name: string
  /** Milliseconds. */
  readonly took: number
  /** What is not as expected; `path` begins with the output's name. Empty: the test has passed. */
  readonly differences: readonly Difference[]
}

const defaultTimeoutMs = 60_000
const deadLetters = 'dlq'

/**
 * Runs the tests of pipelines with the real processors and embedded sinks, each test on data of its own. The model and
 * ClickHouse take long to start, so all tests share them; ClickHouse is only started for tests that expect rows.
 */
export class PipelineTestRunner {
  readonly #options: TestRunnerOptions
  readonly #folder: string
  readonly #shared: ClosableServices
  #count = 0

  private constructor(options: TestRunnerOptions, folder: string) {
    this.#options = options
    this.#folder = folder
    this.#shared = options.open(join(folder, 'shared'))
  }

  static async open(options: TestRunnerOptions): Promise<PipelineTestRunner> {
    const folder = await mkdtemp(join(tmpdir(), 'millrace-tests-'))
    await mkdir(join(folder, 'shared'))
    return new PipelineTestRunner(options, folder)
  }

  /** Never throws for what the pipeline or the test does wrong: that is a difference. */
  async run(spec: PipelineSpec, test: PipelineTest): Promise<TestResult> {
    const started = performance.now()
    this.#count += 1
    const found = await this.#differences(spec, test, this.#count).catch((error: unknown) => [
      { path: '', message: errorMessage(error) },
    ])
    return { name: test.name, took: performance.now() - started, differences: found }
  }

  async close(): Promise<void> {
    await this.#shared.close()
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 })
  }

  async #differences(spec: PipelineSpec, test: PipelineTest, count: number): Promise<Difference[]> {
    const folder = join(this.#folder, String(count))
    await mkdir(folder)
    const own = this.#options.open(folder)
    const services = withShared(own, this.#shared, `test_${count}_`)
    try {
      const tested = testedPipeline(spec, test, this.#options.catalog)
      await appendGiven(services, tested.source.topics[0] ?? '', test.given)
      await this.#runToTheEnd(tested, services)
      return await compareOutputs(tested, test, services)
    } finally {
      await own.close()
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    }
  }

  async #runToTheEnd(spec: PipelineSpec, services: Services): Promise<void> {
    const { catalog, expressions, timeoutMs = defaultTimeoutMs } = this.#options
    const topic = () => onePartition
    const pipeline = new Pipeline(spec, {
      services,
      catalog,
      expressions,
      metrics: createMetrics(),
      log: silentLog,
      topic,
    })
    pipeline.start()
    let late = false
    const timer = setTimeout(() => {
      late = true
      void pipeline.abort()
    }, timeoutMs)
    try {
      await pipeline.drained()
      const { state, reason } = await pipeline.status()
      if (late) throw failed(`it did not come to an end within ${timeoutMs / 1000} s${reason ? `: ${reason}` : ''}`)
      if (state === 'failed') throw failed(`the pipeline failed: ${reason ?? 'no reason was given'}`)
    } finally {
      clearTimeout(timer)
      await pipeline.stop()
    }
  }
}

type TestedPipeline = PipelineSpec & { readonly source: { readonly kind: 'topics' } }

const onePartition = { partitions: 1 }

/**
 * The pipeline as a test runs it: it reads what was given from the start, commits at once, and has the sinks that the
 * test looks at. Dead letters may come from any sink, so a test that expects them has all that leave no trace outside.
 */
function testedPipeline(spec: PipelineSpec, test: PipelineTest, catalog: Catalog): TestedPipeline {
  const topics = spec.source.kind === 'topics' ? spec.source.topics : [intakeTopic(spec.name)]
  const expected = new Set(Object.keys(test.expect))
  const sinks = spec.sinks.filter((sink) => {
    const output = outputName(sink, catalog)
    return expected.has(output) || (expected.has(deadLetters) && isReadable(output))
  })
  return {
    ...spec,
    source: { kind: 'topics', topics, group: spec.name, start: 'earliest' },
    sinks,
    block: { ...spec.block, ageMs: 1 },
  }
}

async function appendGiven(services: Services, topic: string, given: readonly GivenEvent[]): Promise<void> {
  const log = await services.log()
  await log.ensureTopic(topic, onePartition)
  const codec = await services.serde.codec(topic, 'write')
  if (given.length > 0)
    await log.append(
      topic,
      given.map((event, index) => toRecord(event, codec, index)),
    )
}

function toRecord({ key = null, value, headers = {}, timestamp }: GivenEvent, codec: Codec, index: number): NewRecord {
  const json = z.json().safeParse(value)
  if (!json.success) throw failed(`given[${index}].value is not plain JSON`)
  return {
    key: key === null ? null : Buffer.from(key),
    value: json.data === null ? null : codec.encode(json.data),
    headers: Object.fromEntries(Object.entries(headers).map(([name, text]) => [name, Buffer.from(text)])),
    ...(timestamp === undefined ? {} : { timestamp }),
  }
}

async function compareOutputs(spec: TestedPipeline, test: PipelineTest, services: TestServices): Promise<Difference[]> {
  const found: Difference[] = []
  for (const [name, expected] of Object.entries(test.expect)) {
    const { ordered, items } =
      name === deadLetters
        ? await readDeadLetters(deadLetterTopic(spec.name), spec.source.topics[0] ?? '', services)
        : await readOutput(name, services)
    const wanted = z.array(z.json()).parse(expected)
    for (const { path, message } of differences(wanted, items, ordered)) found.push({ path: name + path, message })
  }
  return found
}

/** Everything cheap belongs to one test; the embedder and ClickHouse to all, with each test's tables under a prefix. */
function withShared(own: Services, shared: Services, tablePrefix: string): TestServices {
  return {
    tablePrefix,
    serde: own.serde,
    log: () => own.log(),
    live: () => own.live(),
    vectors: () => own.vectors(),
    embedder: () => shared.embedder(),
    analytics: async () => prefixed(await shared.analytics(), tablePrefix),
  }
}

/** What a pipeline writes goes to tables of its own; queries name tables as they are. */
function prefixed(analytics: Analytics, prefix: string): Analytics {
  return {
    ensureTable: (spec) => analytics.ensureTable({ ...spec, name: prefix + spec.name }),
    insert: (table, rows, token) => analytics.insert(prefix + table, rows, prefix + token),
    query: (sql, params, signal, rows) => analytics.query(sql, params, signal, rows),
    changes: (tables, signal) => analytics.changes(tables, signal),
    tables: () => analytics.tables(),
    close: async () => {},
  }
}

function failed(message: string): MillraceError {
  return new MillraceError({ code: 'test_failed', message })
}
