import type { BlockSink, Catalog, ComponentContext, EventSink, Intake } from '../core/component.ts'
import { Fatal } from '../core/errors.ts'
import type { TopicConfig } from '../core/event-log.ts'
import type { Expressions } from '../core/expression.ts'
import type { ComponentUse, PipelineSpec } from '../core/pipeline.ts'
import type { Services } from '../core/services.ts'
import type { Log, Metrics } from '../telemetry/index.ts'
import type { NamedProcessor } from './processor-chain.ts'

export interface EngineContext {
  readonly services: Services
  readonly catalog: Catalog
  readonly expressions: Expressions
  readonly metrics: Metrics
  readonly log: Log
  /** How the runtime wants a topic to be. */
  topic(name: string): Partial<TopicConfig>
}

interface Named<T> {
  readonly component: string
  readonly sink: T
}

export interface Built {
  readonly intake: Intake | undefined
  readonly processors: readonly NamedProcessor[]
  readonly eventSinks: readonly Named<EventSink>[]
  readonly blockSinks: readonly Named<BlockSink>[]
}

/** Creates the components that a pipeline names. Throws what they throw: `Fatal`, or `Retryable` for a store that is down. */
export async function buildComponents(spec: PipelineSpec, context: EngineContext): Promise<Built> {
  const { catalog, services, expressions } = context
  const contextOf = ({ component }: ComponentUse): ComponentContext => ({
    pipeline: spec.name,
    component,
    services,
    expressions,
  })
  const { source } = spec
  const intake =
    source.kind === 'intake'
      ? await known(catalog.sources, source.use).create(source.use.options, contextOf(source.use))
      : undefined
  const processors: NamedProcessor[] = []
  for (const use of spec.processors) {
    const processor = await known(catalog.processors, use).create(use.options, contextOf(use))
    processors.push({ component: use.component, processor })
  }
  const eventSinks: Named<EventSink>[] = []
  const blockSinks: Named<BlockSink>[] = []
  for (const use of spec.sinks) {
    const { component } = use
    const sink = await known(catalog.sinks, use).create(use.options, contextOf(use))
    if (sink.takes === 'events') eventSinks.push({ component, sink })
    else blockSinks.push({ component, sink })
  }
  return { intake, processors, eventSinks, blockSinks }
}

function known<T>(components: ReadonlyMap<string, T>, { name }: ComponentUse): T {
  const component = components.get(name)
  if (component === undefined)
    throw new Fatal({ code: 'unknown_component', message: `there is no component "${name}"` })
  return component
}
