import type { Context } from 'hono'
import { isJsonObject, type Json } from '../core/event.ts'
import { cloudEvent } from './cloud-event.ts'
import { parseJson } from './json-text.ts'
import { type Detail, InvalidRequest } from './problem.ts'
import { type GivenEvent, invalidEvents, maxErrors, maxEvents, tooManyEvents } from './publish.ts'

const ndjson = new Set(['application/x-ndjson', 'application/ndjson', 'application/jsonl', 'application/x-jsonlines'])
/** curl's `-d` says `x-www-form-urlencoded` whatever the data is. */
const json = /^(application\/(.+\+)?json|text\/plain|application\/x-www-form-urlencoded|application\/octet-stream|)$/

/**
 * The events of a request, by its content type: a JSON value or an array of them, NDJSON, or CloudEvents (structured,
 * batch, or with its attributes in `ce-` headers). Throws `InvalidRequest`.
 */
export function readEvents(c: Context, text: string): GivenEvent[] {
  const type = (c.req.header('content-type') ?? '').split(';')[0]?.trim().toLowerCase() ?? ''
  if (ndjson.has(type)) return readLines(text)
  if (!json.test(type)) {
    throw new InvalidRequest(415, {
      code: 'unsupported_media_type',
      message: `Events cannot be read from "${type}".`,
      hint: 'Send application/json, application/x-ndjson, application/cloudevents+json or application/cloudevents-batch+json.',
    })
  }
  if (text.trim() === '') throw new InvalidRequest(400, { code: 'empty_body', message: 'The request has no events.' })
  const value = asJson(parseJson(text))
  if (type === 'application/cloudevents+json') return cloudEvents([value])
  if (type === 'application/cloudevents-batch+json') {
    if (!Array.isArray(value)) {
      throw new InvalidRequest(400, { code: 'bad_batch', message: 'A batch of CloudEvents is a JSON array.' })
    }
    return cloudEvents(value)
  }
  if (c.req.header('ce-specversion') !== undefined) return cloudEvents([fromHeaders(c, value)])
  return isArray(value) ? value.map((element) => ({ value: element })) : [{ value }]
}

function readLines(text: string): GivenEvent[] {
  const events: GivenEvent[] = []
  const errors: Detail[] = []
  let index = 0
  for (const [number, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue
    if (index >= maxEvents) throw tooManyEvents()
    try {
      events.push({ value: asJson(parseJson(line, number + 1)) })
    } catch (error) {
      if (!(error instanceof InvalidRequest)) throw error
      errors.push({ index, message: error.message.replace(/^The body/, 'the line').replace(/\.$/, '') })
      if (errors.length >= maxErrors) break
    }
    index++
  }
  if (errors.length > 0) throw invalidEvents(errors, index)
  return events
}

function cloudEvents(values: readonly Json[]): GivenEvent[] {
  const errors: Detail[] = []
  const events = values.flatMap((value, index) => {
    const event = cloudEvent(value)
    if (typeof event !== 'string') return [event]
    errors.push({ index, message: event })
    return []
  })
  if (errors.length > 0) throw invalidEvents(errors.slice(0, maxErrors), values.length)
  return events
}

/** The binary mode of CloudEvents: its attributes are headers, and the body is its data. */
function fromHeaders(c: Context, data: Json): Json {
  const attributes: Record<string, Json> = {}
  for (const [name, value] of Object.entries(c.req.header())) {
    if (name.startsWith('ce-')) attributes[name.slice(3)] = percentDecoded(name, value)
  }
  return { ...attributes, data }
}

function percentDecoded(name: string, value: string): string {
  try {
    return decodeURIComponent(value)
  } catch {
    throw new InvalidRequest(400, {
      code: 'bad_header',
      message: `The header ${name} is not percent-encoded UTF-8: ${value}.`,
      hint: 'A percent sign in it is written as %25.',
    })
  }
}

/** What `JSON.parse` made is JSON. */
function asJson(value: unknown): Json {
  return isJson(value) ? value : null
}

function isJson(value: unknown): value is Json {
  return value !== undefined
}

function isArray(value: Json): value is readonly Json[] {
  return Array.isArray(value) && !isJsonObject(value)
}
