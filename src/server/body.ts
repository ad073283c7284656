import type { Context } from 'hono'
import { z } from 'zod'
import { didYouMean } from '../core/nearest.ts'
import { parseJson } from './json-text.ts'
import { InvalidRequest } from './problem.ts'

/**
 * The request's body. Throws `InvalidRequest` (413) as soon as it is known to be larger than the limit: at once if its
 * length is declared, and else when that many bytes have come. No more than the limit is ever held.
 */
export async function readBytes(c: Context, limit: number): Promise<Uint8Array> {
  const encoding = c.req.header('content-encoding')
  if (encoding !== undefined && encoding !== 'identity') {
    throw new InvalidRequest(415, {
      code: 'unsupported_encoding',
      message: `The body is encoded as "${encoding}". Send it as it is, without Content-Encoding.`,
    })
  }
  const length = c.req.header('content-length')
  if (length !== undefined && !(Number(length) <= limit)) throw tooLarge(limit, Number(length))
  try {
    // No more than was declared comes, and it is read in one piece.
    return length === undefined ? await readStream(c.req.raw.body, limit) : new Uint8Array(await c.req.arrayBuffer())
  } catch (error) {
    if (error instanceof InvalidRequest || !c.req.raw.signal.aborted) throw error
    throw new InvalidRequest(400, { code: 'body_cut_short', message: 'The connection ended before the body did.' })
  }
}

async function readStream(stream: ReadableStream<Uint8Array> | null, limit: number): Promise<Uint8Array> {
  if (!stream) return new Uint8Array(0)
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of stream) {
    size += chunk.byteLength
    if (size > limit) throw tooLarge(limit)
    chunks.push(chunk)
  }
  const body = new Uint8Array(size)
  let at = 0
  for (const chunk of chunks) {
    body.set(chunk, at)
    at += chunk.byteLength
  }
  return body
}

const decoder = new TextDecoder('utf-8', { fatal: true })

/** The body as text. Throws `InvalidRequest` (400, `bad_encoding`) if it is not UTF-8, and as `readBytes` does. */
export async function readText(c: Context, limit: number): Promise<string> {
  const bytes = await readBytes(c, limit)
  try {
    return decoder.decode(bytes)
  } catch {
    throw new InvalidRequest(400, { code: 'bad_encoding', message: 'The body is not UTF-8.' })
  }
}

/** The body as JSON, checked. Throws `InvalidRequest` that says where and what is wrong. */
export async function readJson<T>(c: Context, schema: z.ZodType<T>, limit: number): Promise<T> {
  const text = await readText(c, limit)
  if (text.trim() === '') {
    throw new InvalidRequest(400, { code: 'empty_body', message: 'The request needs a JSON body.' })
  }
  return checked(schema, parseJson(text), 'body')
}

/** The query parameters, checked. */
export function readQuery<T>(c: Context, schema: z.ZodType<T>): T {
  return checked(schema, c.req.query(), 'query')
}

function checked<T>(schema: z.ZodType<T>, value: unknown, part: 'body' | 'query'): T {
  const result = safeParse(schema, value)
  if (result.success) return result.data
  const errors = result.error.issues.map(({ path, message }) => ({
    pointer: path.map((step) => `/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}`).join(''),
    message,
  }))
  const first = errors[0]
  const where = first?.pointer ? ` at ${first.pointer}` : ''
  throw new InvalidRequest(
    400,
    {
      code: `invalid_${part}`,
      message: `The request's ${part} is wrong${where}: ${sentence(first?.message ?? 'invalid')}`,
    },
    errors,
  )
}

function safeParse<T>(schema: z.ZodType<T>, value: unknown) {
  try {
    return schema.safeParse(value, { error: plainMessage })
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new InvalidRequest(400, { code: 'too_deep', message: 'The body is nested too deeply.' })
  }
}

/** Unknown fields that are told, and characters of their names: a body may have a million of either. */
const mostUnknown = 10
const longestName = 100

/** Messages that a schema's author wrote come before these. */
function plainMessage(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === 'invalid_type' && issue.input === undefined) return 'is missing'
  if (issue.code !== 'unrecognized_keys') return undefined
  const known = issue.inst instanceof z.ZodObject ? Object.keys(issue.inst.shape) : []
  const told = issue.keys.slice(0, mostUnknown).map((key) => {
    return `unknown field "${shortened(key)}"${didYouMean(key, known) || knownFields(known)}`
  })
  const more = issue.keys.length - told.length
  return [...told, ...(more > 0 ? [`and ${more} more`] : [])].join('; ')
}

function shortened(name: string): string {
  return name.length > longestName ? `${name.slice(0, longestName)}…` : name
}

function knownFields(known: readonly string[]): string {
  return known.length === 0 ? '' : `; there are ${known.join(', ')}`
}

function sentence(text: string): string {
  return /[.?!]$/.test(text) ? text : `${text}.`
}

function tooLarge(limit: number, declared?: number): InvalidRequest {
  const megabytes = (bytes: number) => `${Math.round(bytes / 10_000) / 100} MB`
  const size = declared === undefined ? 'more' : megabytes(declared)
  return new InvalidRequest(413, {
    code: 'body_too_large',
    message: `The body may have ${megabytes(limit)}, and this one has ${size}. Nothing of it was taken.`,
    hint: 'Send it in several requests.',
  })
}
