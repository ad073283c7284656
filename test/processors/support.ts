import type { AnyProcessor, ComponentContext, Outcome, Processor } from '../../src/core/component.ts'
import { type Event, type Json, noHeaders, noVectors } from '../../src/core/event.ts'
import type { Services } from '../../src/core/services.ts'
import type { LaneState } from '../../src/core/state.ts'
import { createExpressions } from '../../src/expressions/index.ts'

function unused(): never {
  throw new Error('this processor uses no service')
}

const services: Services = {
  get serde() {
    return unused()
  },
  log: unused,
  analytics: unused,
  vectors: unused,
  live: unused,
  embedder: unused,
}

export function contextFor(component: string): ComponentContext {
  return { pipeline: 'test', component, services, expressions: createExpressions() }
}

export async function make(definition: AnyProcessor, options: unknown): Promise<Processor> {
  return definition.create(options, contextFor(definition.name))
}

/** The state of a lane whose every change is committed at once. */
export class CommittedState implements LaneState {
  readonly entries = new Map<string, Json>()

  get(keys: readonly string[]): Promise<(Json | undefined)[]> {
    return Promise.resolve(keys.map((key) => this.entries.get(key)))
  }

  set(key: string, value: Json | undefined): void {
    if (value === undefined) this.entries.delete(key)
    else this.entries.set(key, value)
  }
}

export function event(value: Json, fields: Partial<Event> = {}): Event {
  const offset = fields.position?.offset ?? 0
  return {
    id: `t/0/${offset}`,
    key: null,
    value,
    headers: noHeaders,
    timestamp: 1_700_000_000_000,
    position: { topic: 't', partition: 0, offset },
    vectors: noVectors,
    ...fields,
  }
}

/** Events at offsets 0, 1, 2, … */
export function events(...values: Json[]): Event[] {
  return values.map((value, offset) => event(value, { position: { topic: 't', partition: 0, offset } }))
}

export async function process(
  definition: AnyProcessor,
  options: unknown,
  batch: readonly Event[],
  state: LaneState = new CommittedState(),
): Promise<Outcome[]> {
  const processor = await make(definition, options)
  return processor.process(batch, { state, signal: new AbortController().signal })
}

/** What comes out: values, lists of values, null for a dropped event, the code of a failure. */
export function summary(outcomes: readonly Outcome[]): unknown[] {
  return outcomes.map((outcome) => {
    if (outcome === null) return null
    if ('failed' in outcome) return outcome.code
    return 'value' in outcome ? outcome.value : outcome.map((one) => one.value)
  })
}
