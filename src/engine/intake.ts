import type { Intake } from '../core/component.ts'
import type { EventLog, TopicConfig } from '../core/event-log.ts'
import type { PipelineMeter } from './pipeline-meter.ts'
import { retry } from './retry.ts'

/** The topic that an outside source is read into, and that the pipeline's lanes read from. */
export function intakeTopic(pipeline: string): string {
  return `${pipeline}.in`
}

export interface IntakeOptions {
  readonly log: EventLog
  readonly pipeline: string
  readonly topic: Partial<TopicConfig>
  readonly signal: AbortSignal
  readonly meter: PipelineMeter
}

/** Runs an intake; what it appends and what it remembers of it become durable in one step. */
export async function runIntake(intake: Intake, { log, pipeline, topic, signal, meter }: IntakeOptions): Promise<void> {
  const name = intakeTopic(pipeline)
  const scope = `${pipeline}/intake`
  await log.ensureTopic(name, { ...intake.topic, ...topic })
  const report = (error: unknown) => meter.trouble(pipeline, 'intake', error)
  try {
    await intake.run({
      signal,
      state: log.state(scope),
      append: (records, changes = []) =>
        retry(() => log.append(name, records, { state: { scope, changes } }), { signal, retryUnknown: false, report }),
    })
  } catch (error) {
    if (!signal.aborted) throw error
  }
}
