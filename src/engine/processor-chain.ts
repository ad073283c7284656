import type { Failure, Outcome, ProcessContext, Processor } from '../core/component.ts'
import { errorMessage, Fatal, MillraceError } from '../core/errors.ts'
import { type Event, isTombstone } from '../core/event.ts'
import type { DeadLetter } from './dead-letters.ts'
import type { LaneStates } from './lane-state.ts'
import { type RetryOptions, retry } from './retry.ts'

export interface NamedProcessor {
  readonly component: string
  readonly processor: Processor
}

export interface Processed {
  readonly events: readonly Event[]
  readonly deadLetters: DeadLetter[]
}

interface Stage extends NamedProcessor {
  readonly context: ProcessContext
  /** When the batch before has left this stage. Only kept where order matters. */
  tail: Promise<void>
}

/**
 * The processors of one lane. Batches may be in it side by side: they pass each stateful processor one at a time in the
 * order in which `run` was called, and the others as they come.
 */
export class ProcessorChain {
  readonly #stages: Stage[]
  readonly #retry: (component: string) => RetryOptions

  constructor(
    processors: readonly NamedProcessor[],
    states: LaneStates,
    signal: AbortSignal,
    retryOptions: (component: string) => RetryOptions,
  ) {
    this.#retry = retryOptions
    this.#stages = processors.map((named) => ({
      ...named,
      context: { state: states.scope(named.component), signal },
      tail: Promise.resolve(),
    }))
  }

  async run(batch: readonly Event[]): Promise<Processed> {
    const turns = this.#stages.map((stage) => (stage.processor.stateful ? takeTurn(stage) : undefined))
    const deadLetters: DeadLetter[] = []
    try {
      let events = batch
      for (const [index, stage] of this.#stages.entries()) {
        const turn = turns[index]
        await turn?.mine
        if (events.length > 0) events = await this.#pass(stage, events, deadLetters)
        turn?.done()
      }
      return { events, deadLetters }
    } finally {
      for (const turn of turns) turn?.done()
    }
  }

  async #pass(stage: Stage, events: readonly Event[], deadLetters: DeadLetter[]): Promise<readonly Event[]> {
    const { processor, component, context } = stage
    const offered = processor.tombstones ? events : events.filter((event) => !isTombstone(event))
    const attempt = async () => {
      try {
        return await processor.process(offered, context)
      } catch (error) {
        throw classified(error, component)
      }
    }
    const outcomes = offered.length === 0 ? [] : await retry(attempt, this.#retry(component))
    if (outcomes.length !== offered.length) {
      const message = `${component} answered ${outcomes.length} outcomes for ${offered.length} events`
      throw new Fatal({ code: 'processor_broken', message })
    }
    const passed: Event[] = []
    let next = 0
    for (const event of events) {
      if (event !== offered[next]) {
        passed.push(event)
        continue
      }
      collect(outcomes[next++], event, component, passed, deadLetters)
    }
    return passed
  }
}

/** An error without a class is a mistake in our own code, which trying again does not mend. */
function classified(error: unknown, component: string): unknown {
  if (error instanceof MillraceError) return error
  return new Fatal({ code: 'processor_broken', message: `${component} failed: ${errorMessage(error)}`, cause: error })
}

function collect(
  outcome: Outcome | undefined,
  event: Event,
  component: string,
  passed: Event[],
  deadLetters: DeadLetter[],
): void {
  if (outcome === null || outcome === undefined) return
  if (isMany(outcome)) passed.push(...outcome)
  else if (isFailure(outcome)) {
    const { code, message } = outcome
    deadLetters.push({ offset: event.position.offset, component, code, message })
  } else passed.push(outcome)
}

function isMany(outcome: Event | readonly Event[] | Failure): outcome is readonly Event[] {
  return Array.isArray(outcome)
}

function isFailure(outcome: Event | Failure): outcome is Failure {
  return 'failed' in outcome
}

function takeTurn(stage: Stage): { readonly mine: Promise<void>; readonly done: () => void } {
  const mine = stage.tail
  let done = () => {}
  stage.tail = new Promise((resolve) => {
    done = resolve
  })
  return { mine, done }
}
