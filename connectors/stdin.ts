import type { Readable } from 'node:stream'
import { z } from 'zod'
import { defineIntake, type IntakeContext } from '../src/core/component.ts'
import type { NewRecord } from '../src/core/event.ts'

const options = z.strictObject({
  format: z
    .enum(['lines', 'ndjson'])
    .default('lines')
    .describe('lines: an event { line, text } per line. ndjson: the JSON of each line is an event.'),
})

/** Lines from the standard input. */
export const stdin = defineIntake({
  kind: 'source',
  name: 'stdin',
  summary: 'Reads lines from the standard input until it ends.',
  example: 'stdin: { format: ndjson }',
  main: 'format',
  options,
  create: ({ format }) => ({ run: (context) => readLines(process.stdin, format, context) }),
})

/** A line that is longer is cut, so that endless input without a line end cannot fill the memory. */
const maxLine = 8 * 1024 * 1024

/** What has arrived is appended at once and in one go; while that is under way, no more than a chunk is read ahead. */
export async function readLines(
  input: Readable,
  format: z.infer<typeof options>['format'],
  { signal, append }: Pick<IntakeContext, 'signal' | 'append'>,
): Promise<void> {
  const make = format === 'ndjson' ? jsonRecord : textRecord
  const reader = readers.get(input) ?? new LineReader(input)
  readers.set(input, reader)
  for (let lines = await reader.lines(signal); lines.length > 0; lines = await reader.lines(signal)) {
    const before = reader.stored
    const records = lines.flatMap((line, index) => (isBlank(line) ? [] : [make(line, before + index + 1)]))
    if (records.length > 0) await append(records)
    reader.store(lines.length)
  }
}

/** An input can be read once only, so its reader outlives a pipeline that is paused, replaced or tried again. */
const readers = new WeakMap<Readable, LineReader>()

class LineReader {
  readonly #input: Readable
  readonly #chunks: AsyncIterator<unknown>
  /** A read that nobody waits for any more: its chunk is for whoever comes next. */
  #arriving: Promise<IteratorResult<unknown>> | undefined
  #rest: Buffer = Buffer.alloc(0)
  /** Complete, and not yet stored. */
  #lines: Buffer[] = []
  /** How many lines have been stored. */
  stored = 0

  constructor(input: Readable) {
    this.#input = input
    this.#chunks = input[Symbol.asyncIterator]()
  }

  /** The next lines, the same again until they are stored; none when the input has ended or the signal fires. */
  async lines(signal: AbortSignal): Promise<readonly Buffer[]> {
    while (this.#lines.length === 0) {
      const chunk = await this.#next(signal)
      if (chunk === undefined) return []
      const bytes = Buffer.concat([this.#rest, chunk])
      const { lines, used } = chunk.length === 0 ? { lines: [bytes], used: bytes.length } : completeLines(bytes)
      this.#rest = bytes.subarray(used)
      this.#lines = lines
    }
    return signal.aborted ? [] : this.#lines
  }

  store(lines: number): void {
    this.stored += lines
    this.#lines = this.#lines.slice(lines)
  }

  /** An empty chunk stands for the end after an unfinished line. */
  async #next(signal: AbortSignal): Promise<Buffer | undefined> {
    this.#arriving ??= this.#chunks.next()
    keepAlive(this.#input, true)
    const next = await unlessAborted(this.#arriving, signal)
    if (next === undefined) {
      keepAlive(this.#input, false)
      return undefined
    }
    this.#arriving = undefined
    if (next.done) return this.#rest.length > 0 ? Buffer.alloc(0) : undefined
    const chunk = Buffer.isBuffer(next.value) ? next.value : Buffer.from(String(next.value))
    return chunk.length > 0 ? chunk : this.#next(signal)
  }
}

/** A pipe that nobody waits for must not keep the process from ending. */
function keepAlive(input: Readable, needed: boolean): void {
  const method: unknown = Reflect.get(input, needed ? 'ref' : 'unref')
  if (typeof method === 'function') method.call(input)
}

function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const onAbort = () => resolve(undefined)
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

function completeLines(bytes: Buffer): { lines: Buffer[]; used: number } {
  const lines: Buffer[] = []
  let used = 0
  for (let end = bytes.indexOf('\n'); end !== -1; end = bytes.indexOf('\n', used)) {
    lines.push(bytes.subarray(used, end))
    used = end + 1
  }
  if (bytes.length - used <= maxLine) return { lines, used }
  return { lines: [...lines, bytes.subarray(used)], used: bytes.length }
}

function isBlank(line: Buffer): boolean {
  return line.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d)
}

/** A line that is no JSON is found out when it is decoded. */
function jsonRecord(line: Buffer): NewRecord {
  return { key: null, value: line }
}

function textRecord(line: Buffer, number: number): NewRecord {
  const text = line.toString().replace(/\r$/, '')
  return { key: null, value: Buffer.from(JSON.stringify({ line: number, text })) }
}
