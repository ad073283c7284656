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
  let number = 0
  let rest: Buffer = Buffer.alloc(0)
  const take = async (lines: readonly Buffer[]) => {
    const records = lines.flatMap((line) => {
      number++
      return isBlank(line) ? [] : [make(line, number)]
    })
    if (records.length > 0) await append(records)
  }
  for await (const chunk of chunksOf(input, signal)) {
    const bytes = Buffer.concat([rest, chunk])
    const { lines, used } = completeLines(bytes)
    rest = bytes.subarray(used)
    await take(lines)
  }
  if (rest.length > 0 && !signal.aborted) await take([rest])
}

async function* chunksOf(input: Readable, signal: AbortSignal): AsyncIterable<Buffer> {
  // Destroying the input is what ends a read that waits for more.
  const stop = () => input.destroy()
  if (signal.aborted) stop()
  signal.addEventListener('abort', stop, { once: true })
  try {
    for await (const chunk of input) yield Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk))
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    signal.removeEventListener('abort', stop)
  }
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
