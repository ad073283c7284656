import type { Failure, Outcome } from '../core/component.ts'
import { MillraceError } from '../core/errors.ts'
import type { Event, Json } from '../core/event.ts'

/** One outcome per event; an event whose turn throws a `MillraceError` has failed, and the ones beside it go on. */
export function eachEvent(batch: readonly Event[], turn: (event: Event) => Outcome): Outcome[] {
  return batch.map((event) => {
    try {
      return turn(event)
    } catch (error) {
      return failed(error)
    }
  })
}

/** The failure of one event. Anything but a `MillraceError` is a mistake of the program and is thrown on. */
export function failed(error: unknown): Failure {
  if (!(error instanceof MillraceError)) throw error
  return { failed: true, code: error.code, message: error.message }
}

/** The same event with another value. */
export function withValue(event: Event, value: Json): Event {
  const { id, key, headers, timestamp, position, vectors } = event
  return { id, key, value, headers, timestamp, position, vectors }
}
