import { isUtf8 } from 'node:buffer'
import type { Json, NewRecord } from '../../src/core/event.ts'

export interface FoundFile {
  /** Relative to the working directory, with forward slashes. */
  readonly path: string
  readonly absolute: string
  readonly size: number
  /** Milliseconds since the Unix epoch. */
  readonly modified: number
}

/** Records out of one file, and what is to be remembered of the file once they are stored. */
export interface Step {
  readonly records: readonly NewRecord[]
  readonly remember: Json
}

/** How files of one format become records. */
export interface FileReader {
  /**
   * What is new in a file since `remembered`, in steps that are stored one after the other. Errors of the file system
   * are thrown, except that of a file that is not there: it has nothing new.
   */
  read(file: FoundFile, remembered: Json | undefined): AsyncIterable<Step>
  /** What to store when the file is no longer there. */
  gone(path: string): readonly NewRecord[]
}

/**
 * A record that cannot be decoded, so that it ends up with the dead letters: the original bytes, or, should those
 * happen to be valid JSON, the reason before them. The headers say what is wrong with it.
 */
export function undecodable(path: string, bytes: Uint8Array, reason: string, line?: number): NewRecord {
  const value = isJson(bytes) ? Buffer.concat([Buffer.from(`${reason}: `), bytes]) : bytes
  return { key: Buffer.from(path), value, headers: { ...placeHeaders(path, line), problem: Buffer.from(reason) } }
}

export function placeHeaders(path: string, line?: number): Record<string, Uint8Array> {
  const file = Buffer.from(path)
  return line === undefined ? { file } : { file, line: Buffer.from(`${line}`) }
}

function isJson(bytes: Uint8Array): boolean {
  if (!isUtf8(bytes)) return false
  try {
    JSON.parse(Buffer.from(bytes).toString())
    return true
  } catch {
    return false
  }
}

/** UTF-8's byte order mark, which is no part of the text. */
export function startsWithMark(bytes: Uint8Array): boolean {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
}
