import { Forbidden, InvalidInput, NotFound } from '../core/errors.ts'
import { type Headers, isJsonObject, type Json, type NewRecord, type Position } from '../core/event.ts'
import { didYouMean } from '../core/nearest.ts'
import type { Principal, RowFilter } from '../core/principal.ts'
import { matchesRows } from '../core/rows.ts'
import type { Codec } from '../core/serde.ts'
import type { Services } from '../core/services.ts'
import { topicActions } from './permission.ts'
import { type Detail, InvalidRequest } from './problem.ts'

/** An event as a client gives it. `value: null` is a tombstone and needs a key. */
export interface GivenEvent {
  readonly value: Json
  readonly key?: string | null | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Milliseconds since the Unix epoch. */
  readonly timestamp?: number | undefined
}

/** So many can be stored without holding up everything else for long. */
export const maxEvents = 10_000
export const maxErrors = 100
const encoder = new TextEncoder()

/**
 * Appends events, all or none, and answers when they are durable. `keyPointer` takes keys from the values.
 * Of someone who may publish only some rows, throws `Forbidden` (`foreign_rows`) for anything else.
 * Throws `InvalidRequest` (422, `invalid_events`) with what is wrong with each bad one, (413, `too_many_events`), and
 * `NotFound` for the topic.
 */
export async function publish(
  services: Services,
  topic: string,
  events: readonly GivenEvent[],
  keyPointer: string | undefined,
  principal: Principal,
): Promise<Position[]> {
  if (events.length === 0) throw new InvalidRequest(400, { code: 'no_events', message: 'The request has no events.' })
  if (events.length > maxEvents) throw tooManyEvents()
  assertOwnRows(topic, events, principal.rows('publish', topic))
  const steps = keyPointer === undefined ? undefined : parsePointer(keyPointer)
  const codec = await services.serde.codec(topic, 'write')
  const errors: Detail[] = []
  const records: NewRecord[] = []
  for (const [index, event] of events.entries()) {
    const record = encode(codec, event, steps, (message, pointer) => errors.push({ index, pointer, message }))
    if (record) records.push(record)
    if (errors.length >= maxErrors) break
  }
  if (errors.length > 0) throw invalidEvents(errors, events.length)
  const log = await services.log()
  try {
    return await log.append(topic, records)
  } catch (error) {
    if (!(error instanceof NotFound)) throw error
    const names = (await log.topics()).map(({ name }) => name)
    const known = names.filter((name) => topicActions.some((action) => principal.may(action, name)))
    throw topicNotFound(topic, known)
  }
}

/** Whoever sees only some rows of a topic adds none that they could not see, and deletes none. */
function assertOwnRows(topic: string, events: readonly GivenEvent[], rows: RowFilter | undefined): void {
  const foreign = events.findIndex(({ value }) => !matchesRows(rows, value))
  if (foreign < 0 || rows === undefined) return
  const what =
    events[foreign]?.value === null ? 'is a deletion, which names no rows' : 'has not the values that yours have'
  const fields = [...new Set(rows.flatMap(Object.keys))].map((field) => `"${field}"`).join(' and ')
  throw new Forbidden({
    code: 'foreign_rows',
    message: `Nothing was taken: of "${topic}" you have only rows of your own, and event ${foreign} ${what}.`,
    hint: `Yours are told by ${fields}.`,
  })
}

export function tooManyEvents(): InvalidRequest {
  return new InvalidRequest(413, {
    code: 'too_many_events',
    message: `A request may have ${maxEvents} events, and this one has more. Nothing of it was taken.`,
    hint: 'Send the events in several requests.',
  })
}

export function topicNotFound(topic: string, known: readonly string[]): NotFound {
  const nearest = didYouMean(topic, known)
  return new NotFound({
    code: 'topic_not_found',
    message: `There is no topic "${topic}"${nearest === '' ? '.' : nearest}`,
    hint: `Create it with POST /v1/topics {"name":"${topic}"}, or run a pipeline that reads it.`,
  })
}

export function invalidEvents(errors: readonly Detail[], total: number): InvalidRequest {
  const first = errors[0]
  const where = `event ${first?.index ?? 0}${first?.pointer ? ` at ${first.pointer}` : ''}`
  return new InvalidRequest(
    422,
    {
      code: 'invalid_events',
      message: `Nothing of the ${total} event${total === 1 ? '' : 's'} was taken, for ${where}: ${first?.message ?? ''}.`,
      hint: '"errors" has what is wrong with each bad event by its index; correct or leave out these and send the rest again.',
    },
    errors,
  )
}

/** The steps of a JSON pointer (RFC 6901). Throws `InvalidInput` (`bad_pointer`). */
export function parsePointer(pointer: string): string[] {
  if (!pointer.startsWith('/')) {
    throw new InvalidInput({
      code: 'bad_pointer',
      message: `"${pointer}" is no JSON pointer: it starts with a slash, such as /customer/id.`,
    })
  }
  return pointer
    .slice(1)
    .split('/')
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
}

type Report = (message: string, pointer?: string) => void

function encode(codec: Codec, event: GivenEvent, steps: string[] | undefined, report: Report): NewRecord | undefined {
  const key = event.key ?? (steps === undefined ? null : keyAt(event.value, steps))
  if (key === undefined) {
    report(`there is no key at /${(steps ?? []).join('/')}: it must be a text, a number or a boolean`)
    return undefined
  }
  if (event.value === null && key === null) {
    report('null is a deletion and needs a key: send it as a CloudEvent with "partitionkey" and without "data"')
    return undefined
  }
  const { timestamp } = event
  const common = { key: key === null ? null : encoder.encode(key), headers: encodeHeaders(event.headers ?? {}) }
  const timed = timestamp === undefined ? common : { ...common, timestamp }
  if (event.value === null) return { ...timed, value: null }
  try {
    const problems = codec.validate(event.value)
    for (const { pointer, message } of problems) report(message, pointer)
    return problems.length > 0 ? undefined : { ...timed, value: codec.encode(event.value) }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    report('it is nested too deeply')
    return undefined
  }
}

function keyAt(value: Json, steps: readonly string[]): string | undefined {
  let at: Json | undefined = value
  for (const step of steps) {
    if (Array.isArray(at)) at = at[Number(step)]
    else if (isJsonObject(at) && Object.hasOwn(at, step)) at = at[step]
    else return undefined
  }
  return typeof at === 'string' || typeof at === 'number' || typeof at === 'boolean' ? String(at) : undefined
}

function encodeHeaders(headers: Readonly<Record<string, string>>): Headers {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, encoder.encode(value)]))
}
