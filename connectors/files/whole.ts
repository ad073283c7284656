import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { posix } from 'node:path'
import type { Json, NewRecord } from '../../src/core/event.ts'
import { type FileReader, type FoundFile, type Step, startsWithMark, undecodable } from './reader.ts'

/** A text that is larger is no document; it would only fill the memory. */
const maxBytes = 32 * 1024 * 1024

/** Each file is one event, whose key is its path; a changed file is the same event again. */
export const wholeFiles: FileReader = {
  async *read(file, remembered) {
    const before = asState(remembered)
    if (before?.modified === file.modified && before.size === file.size) return
    const step = await readWhole(file, before?.hash)
    if (step !== undefined) yield step
  },
  gone: (path) => [{ key: Buffer.from(path), value: null }],
}

async function readWhole(file: FoundFile, hashBefore: string | undefined): Promise<Step | undefined> {
  const { path, size, modified } = file
  if (size > maxBytes) {
    const reason = `the file has ${size} bytes; at most ${maxBytes} are read`
    const remember = { modified, size, hash: `too large: ${size}` }
    return { records: [undecodable(path, Buffer.from(reason), reason)], remember }
  }
  const bytes = await readBytes(file.absolute)
  const hash = createHash('sha256').update(bytes).digest('base64url')
  const remember = { modified, size, hash }
  if (hash === hashBefore) return { records: [], remember }
  return { records: [recordOf(file, bytes)], remember }
}

/** Not more than the limit even if the file is growing at the moment; the change will be noticed. */
async function readBytes(absolute: string): Promise<Buffer> {
  await using file = await opened(absolute)
  const { size } = await file.handle.stat()
  const bytes = Buffer.allocUnsafe(Math.min(size, maxBytes))
  let length = 0
  while (length < bytes.length) {
    const { bytesRead } = await file.handle.read(bytes, length, bytes.length - length, length)
    if (bytesRead === 0) break
    length += bytesRead
  }
  return bytes.subarray(0, length)
}

async function opened(absolute: string) {
  const handle = await open(absolute)
  return { handle, [Symbol.asyncDispose]: () => handle.close() }
}

function recordOf({ path, modified }: FoundFile, bytes: Buffer): NewRecord {
  if (!isUtf8(bytes)) return undecodable(path, bytes, 'the file is not UTF-8 text')
  const text = bytes.toString('utf8', startsWithMark(bytes) ? 3 : 0)
  const value = { path, name: posix.basename(path), text, bytes: bytes.length, modified: Math.round(modified) }
  return { key: Buffer.from(path), value: Buffer.from(JSON.stringify(value)) }
}

function asState(value: Json | undefined) {
  if (typeof value !== 'object' || value === null || !('hash' in value)) return undefined
  const { modified, size, hash } = value
  return typeof hash === 'string' ? { modified, size, hash } : undefined
}
