import type { AnySink, Catalog } from '../core/component.ts'
import { errorCode, errorMessage } from '../core/errors.ts'
import type { Expressions } from '../core/expression.ts'
import type { ComponentUse, PipelineSpec } from '../core/pipeline.ts'
import type { Codec, Serde } from '../core/serde.ts'
import type { Shape } from '../core/shape.ts'
import { isTopicPattern } from '../core/topic-pattern.ts'
import { ComponentReader, optionSpan, type Use } from './components.ts'
import { check, type Issue } from './issues.ts'
import { lint } from './lint.ts'
import { type PipelineFrame, pipelineFrame, topicSource } from './pipeline-schema.ts'
import { type Problem, ProblemList, type Span } from './problem.ts'
import { checkExpectations } from './tests-lint.ts'
import { keySpan, type Located, readYaml, spanAt } from './yaml.ts'

export interface ParseOptions {
  /** Names the text in problems. */
  readonly file: string
  readonly catalog: Catalog
  readonly expressions: Expressions
  /** Tells the fields of a topic's events. Without it anything may be in them. */
  readonly serde?: Serde | undefined
}

export interface ParsedPipeline {
  /** Present when there is no error among the problems. */
  readonly spec?: PipelineSpec
  readonly problems: readonly Problem[]
}

type Source =
  | { readonly kind: 'topics'; readonly topics: readonly Topic[]; readonly options: TopicOptions }
  | { readonly kind: 'intake'; readonly use: Use }
interface TopicOptions {
  readonly start: 'earliest' | 'latest'
  readonly group?: string | undefined
  readonly format?: string | undefined
}
interface Topic {
  readonly name: string
  readonly span: Span
  /** What the pipeline takes its values to be, and where it says so. */
  readonly format?: { readonly name: string; readonly span: Span } | undefined
}

/** Reads and checks a pipeline file. Never throws for what is in the text: every problem comes back, all at once. */
export async function parsePipeline(text: string, options: ParseOptions): Promise<ParsedPipeline> {
  const problems = new ProblemList(options.file, text)
  const root = readYaml(text, problems)
  if (root === undefined && !problems.failed) {
    problems.add({ start: 0, end: 1 }, { code: 'empty_file', message: 'the file is empty; it should hold a pipeline' })
  }
  if (root === undefined) return { problems: problems.all }
  if (root.entries === undefined) {
    problems.add(root, {
      code: 'wrong_type',
      message: 'a pipeline file is a mapping with the keys name, source, processors and sinks',
    })
    return { problems: problems.all }
  }

  const frame = readFrame(root, problems)
  const reader = new ComponentReader(options.catalog, problems)
  const source = readSource(root, reader, options.catalog, problems)
  const processors = itemsOf(root, 'processors').map((n) => reader.read('processor', n, options.catalog.processors))
  const sinks = itemsOf(root, 'sinks').map((node) => reader.read('sink', node, options.catalog.sinks))

  const shape = await sourceShape(source, options.serde, problems)
  await checkTopicsWritten(sinks, options.serde, problems)
  lint({ shape, id: root.entries.get('id')?.node, processors, sinks, text }, options.expressions, problems)
  checkExpectations(root.entries.get('tests')?.node, sinks, problems)

  if (problems.failed || frame === undefined || source === undefined) return { problems: problems.all }
  const spec: PipelineSpec = {
    name: frame.name,
    source: specSource(source, frame.name),
    id: frame.id,
    processors: processors.flatMap(componentUse),
    sinks: sinks.flatMap(componentUse),
    block: { events: frame.block.events, bytes: frame.block.bytes, ageMs: frame.block.age },
    tests: frame.tests.map(({ name, given, expect }) => ({ name, given: given.map(withoutUndefined), expect })),
    text,
    file: options.file,
  }
  return { spec, problems: problems.all }
}

function readFrame(root: Located, problems: ProblemList): PipelineFrame | undefined {
  // A key with nothing behind it, such as `processors:`, counts as left out.
  const given = [...(root.entries ?? [])].filter(([, { node }]) => node.value !== null)
  const { data, issues = [] } = check(
    pipelineFrame,
    Object.fromEntries(given.map(([key, { node }]) => [key, node.value])),
  )
  for (const issue of issues) report(root, issue, problems)
  return data
}

/** Adds a problem with a value of the file to the list. */
function report(root: Located, issue: Issue, problems: ProblemList): void {
  const span = issue.at === 'key' ? (keySpan(root, issue.path) ?? spanAt(root, issue.path)) : spanAt(root, issue.path)
  problems.add(span, { code: issue.code, message: issue.message })
}

function itemsOf(root: Located, key: string): readonly Located[] {
  return root.entries?.get(key)?.node.items ?? []
}

function readSource(
  root: Located,
  reader: ComponentReader,
  catalog: Catalog,
  problems: ProblemList,
): Source | undefined {
  const node = root.entries?.get('source')?.node
  if (node === undefined || node.value === null) return undefined
  if (node.entries?.has('topic') !== true) {
    const use = reader.read('source', node, catalog.sources)
    return use === undefined ? undefined : { kind: 'intake', use }
  }
  const { data, issues = [] } = check(topicSource, node.value)
  for (const issue of issues) report(root, { ...issue, path: ['source', ...issue.path] }, problems)
  if (data === undefined) return undefined
  const named = node.entries.get('topic')?.node
  const nodes = named?.items ?? (named === undefined ? [] : [named])
  const formatNode = node.entries.get('format')?.node
  const format = data.format && formatNode ? { name: data.format, span: formatNode } : undefined
  const topics = nodes.map((topic) => ({ name: String(topic.value), span: topic, format }))
  return { kind: 'topics', topics, options: data }
}

/** The fields of the source's events, as far as schemas declare them. */
async function sourceShape(
  source: Source | undefined,
  serde: Serde | undefined,
  problems: ProblemList,
): Promise<Shape> {
  const vectors = new Set<string>()
  if (source?.kind !== 'topics' || serde === undefined) return { fields: undefined, vectors }
  const declared = await Promise.all(source.topics.map((topic) => fieldsOf(topic, serde, problems)))
  const known = declared.filter((fields) => fields !== undefined)
  return {
    fields: known.length === declared.length ? new Set(known.flatMap((fields) => [...fields])) : undefined,
    vectors,
  }
}

/** A sink that cannot write a topic's format should be known before it runs. */
async function checkTopicsWritten(
  sinks: readonly (Use<AnySink> | undefined)[],
  serde: Serde | undefined,
  problems: ProblemList,
): Promise<void> {
  for (const use of sinks) {
    if (use?.valid !== true || serde === undefined) continue
    const { definition, options } = use
    const span = definition.main === undefined ? use.key : optionSpan(use, [definition.main])
    for (const name of definition.topics(options)) await fieldsOf({ name, span }, serde, problems)
  }
}

async function fieldsOf(topic: Topic, serde: Serde, problems: ProblemList): Promise<ReadonlySet<string> | undefined> {
  if (isTopicPattern(topic.name)) return undefined
  try {
    const codec = await serde.codec(topic.name)
    if (topic.format) checkFormat(topic.name, topic.format, codec, problems)
    return codec.fields
  } catch (error) {
    problems.add(topic.span, { code: errorCode(error) ?? 'schema_unusable', message: errorMessage(error) })
    return undefined
  }
}

function checkFormat(topic: string, format: Required<Topic>['format'], codec: Codec, problems: ProblemList): void {
  if (format === undefined || format.name === codec.format) return
  // Where a registry is bound, each value names its schema, so a topic without one of its own can hold any format.
  if (codec.schema === undefined && codec.load !== undefined) return
  const code = 'format_mismatch'
  if (codec.schema !== undefined) {
    const message = `the schema of the topic "${topic}" is ${codec.format}, not ${format.name}`
    problems.add(format.span, { code, message, hint: 'leave out the format: the schema says it' })
    return
  }
  const file = `${topic}${format.name === 'avro' ? '.avsc' : '.proto'}`
  const message = `the values of the topic "${topic}" cannot be read as ${format.name} without a schema`
  problems.add(format.span, { code, message, hint: `put it into ${file} among the schemas, or bind a schema registry` })
}

function specSource(source: Source, pipeline: string): PipelineSpec['source'] {
  if (source.kind === 'intake') {
    const { definition, component, options } = source.use
    return { kind: 'intake', use: { name: definition.name, component, options } }
  }
  const { start, group = pipeline } = source.options
  return { kind: 'topics', topics: source.topics.map((topic) => topic.name), start, group }
}

function componentUse(use: Use | undefined): ComponentUse[] {
  if (use === undefined) return []
  return [{ name: use.definition.name, component: use.component, options: use.options }]
}

/** Leaves out keys without a value, so that they look as if they were never written. */
function withoutUndefined({ value, key, headers, timestamp }: PipelineFrame['tests'][number]['given'][number]) {
  return {
    value,
    ...(key === undefined ? {} : { key }),
    ...(headers === undefined ? {} : { headers }),
    ...(timestamp === undefined ? {} : { timestamp }),
  }
}
