import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { z } from 'zod'
import type { NewRecord } from '../../src/core/event.ts'
import { csvRows } from './csv.ts'
import { type Line, type Split, splitLines } from './line-splitter.ts'
import { type FileReader, type FoundFile, placeHeaders, type Step, startsWithMark, undecodable } from './reader.ts'

const chunkBytes = 256 * 1024
/** A line that is longer is skipped and reported by its beginning. */
const maxLine = 8 * 1024 * 1024
/** An unfinished last line is taken as it is once its file has not changed for so long. Milliseconds. */
const settledAfter = 5_000
/** A file is known again by its first bytes; if they are others, it was replaced and is read from the start. */
const headBytes = 256

const progressSchema = z.object({
  /** Bytes that were read. */
  offset: z.number(),
  /** Lines that were read; an unfinished one does not count. */
  line: z.number(),
  head: z.object({ length: z.number(), hash: z.string() }),
  /** The line at the offset is too long; its rest is passed over. */
  skipping: z.boolean().optional(),
  /** The names in the first row of a CSV file. */
  columns: z.array(z.string()).optional(),
})
type Progress = z.infer<typeof progressSchema>

export interface LineOptions {
  readonly format: 'lines' | 'ndjson' | 'csv'
  readonly delimiter: string
  /** Whether more may be appended; if not, an unfinished last line is taken at once. */
  readonly follow: boolean
}

/** Each line (or CSV row) is an event. Its key is the file's path, so that the lines of a file stay in order. */
export function lineFiles(options: LineOptions): FileReader {
  return {
    read: (file, remembered) => readNew(file, progressSchema.safeParse(remembered).data, options),
    gone: () => [],
  }
}

async function* readNew(file: FoundFile, known: Progress | undefined, options: LineOptions): AsyncIterable<Step> {
  const handle = await open(file.absolute)
  try {
    let progress = await resume(handle, known)
    let rest: Buffer = Buffer.alloc(0)
    for (;;) {
      const chunk = Buffer.allocUnsafe(chunkBytes)
      const { bytesRead } = await handle.read(chunk, 0, chunkBytes, progress.offset + rest.length)
      const bytes = Buffer.concat([rest, chunk.subarray(0, bytesRead)])
      const { records, ...next } = advance(bytes, bytesRead === 0, progress, file, options)
      rest = bytes.subarray(next.offset - progress.offset)
      if (next.offset > progress.offset) {
        progress = { ...next, head: await headOf(handle, next.offset) }
        yield { records, remember: definedOnly(progress) }
      }
      if (bytesRead === 0) return
    }
  } finally {
    await handle.close()
  }
}

/** Where to go on, or the start if the file is another one than before. */
async function resume(handle: FileHandle, known: Progress | undefined): Promise<Progress> {
  const { size } = await handle.stat()
  if (known !== undefined && size >= known.offset) {
    const head = await headOf(handle, known.head.length)
    if (head.hash === known.head.hash) return known
  }
  return { offset: 0, line: 0, head: await headOf(handle, 0) }
}

async function headOf(handle: FileHandle, length: number): Promise<Progress['head']> {
  const { bytesRead, buffer } = await handle.read(Buffer.alloc(headBytes), 0, Math.min(length, headBytes), 0)
  const hash = createHash('sha256').update(buffer.subarray(0, bytesRead)).digest('base64url')
  return { length: bytesRead, hash }
}

interface Advance extends Omit<Progress, 'head'> {
  readonly records: readonly NewRecord[]
}

/** What the bytes after the progress make, and how far that leads. */
function advance(bytes: Buffer, atEnd: boolean, progress: Progress, file: FoundFile, options: LineOptions): Advance {
  const { offset, line, columns } = progress
  if (progress.skipping === true) return skipRest(bytes, progress)
  const { lines, used, count } = lastLineToo(
    splitLines(bytes, line, options.format === 'csv'),
    bytes,
    atEnd,
    file,
    options,
  )
  if (used === 0 && bytes.length > maxLine) {
    const reason = `the line is longer than ${maxLine} bytes`
    const records = [undecodable(file.path, bytes.subarray(0, 1024), reason, line + 1)]
    return { records, offset: offset + bytes.length, line, columns, skipping: true }
  }
  const made = recordsOf(file.path, withoutMark(lines, offset), columns, options)
  return { ...made, offset: offset + used, line: count }
}

function skipRest(bytes: Buffer, { offset, line, columns }: Progress): Advance {
  const end = bytes.indexOf('\n')
  if (end === -1) return { records: [], offset: offset + bytes.length, line, columns, skipping: true }
  return { records: [], offset: offset + end + 1, line: line + 1, columns }
}

/** An unfinished last line belongs to it once nothing more is to be expected; it is counted when its end comes. */
function lastLineToo(split: Split, bytes: Buffer, atEnd: boolean, file: FoundFile, options: LineOptions): Split {
  const last = bytes.subarray(split.used)
  if (!atEnd || last.length === 0 || !isComplete(last, file, options)) return split
  return { ...split, lines: [...split.lines, { bytes: last, number: split.count + 1 }], used: bytes.length }
}

function isComplete(last: Buffer, { modified }: FoundFile, { format, follow }: LineOptions): boolean {
  if (!follow || Date.now() - modified > settledAfter) return true
  if (format !== 'ndjson' || !/[}\]]\s*$/.test(last.toString('latin1', Math.max(0, last.length - 8)))) return false
  try {
    JSON.parse(last.toString())
    return true
  } catch {
    return false
  }
}

function withoutMark(lines: readonly Line[], offset: number): readonly Line[] {
  const [first, ...others] = lines
  if (offset > 0 || first === undefined || !startsWithMark(first.bytes)) return lines
  return [{ ...first, bytes: first.bytes.subarray(3) }, ...others]
}

function recordsOf(
  path: string,
  lines: readonly Line[],
  columns: string[] | undefined,
  { format, delimiter }: LineOptions,
): Pick<Advance, 'records' | 'columns'> {
  const filled = lines.filter(({ bytes }) => !isBlank(bytes))
  if (format === 'csv') return csvRows(path, filled, columns, delimiter)
  const make = format === 'ndjson' ? jsonRecord : textRecord
  return { records: filled.map((line) => make(path, line)), columns }
}

/** A line that is no JSON is found out when it is decoded. */
function jsonRecord(path: string, { bytes, number }: Line): NewRecord {
  return { key: Buffer.from(path), value: bytes, headers: placeHeaders(path, number) }
}

function textRecord(path: string, { bytes, number }: Line): NewRecord {
  if (!isUtf8(bytes)) return undecodable(path, bytes, 'the line is not UTF-8 text', number)
  const value = { path, line: number, text: bytes.toString() }
  return { key: Buffer.from(path), value: Buffer.from(JSON.stringify(value)) }
}

function isBlank(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d)
}

/** State is JSON, which has no `undefined`. */
function definedOnly({ offset, line, head, skipping, columns }: Progress) {
  return { offset, line, head, ...(skipping && { skipping }), ...(columns && { columns }) }
}
