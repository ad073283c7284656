import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { access, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { z } from 'zod'
import { errorCode, errorMessage, Fatal } from '../../core/errors.ts'

export interface ModelFile {
  readonly path: string
  /** What the file's content must have, in hex. */
  readonly sha256: string
}

export const checksumsFile = 'SHA256SUMS'

/** Checksums in hex by the file's path in the folder. */
export type Checksums = ReadonlyMap<string, string>

/** The error for a model that cannot be read, loaded or trusted. */
export function unusable(message: string, cause?: unknown): Fatal {
  return new Fatal({ code: 'model_unusable', message, cause })
}

/** Throws `Fatal` (`model_unusable`) unless the file is there as it was when its model was read. */
export async function verifyFile({ path, sha256 }: ModelFile): Promise<void> {
  compareAgain(path, await hashFile(path), sha256)
}

/** The content of a small file. Throws like `verifyFile`. */
export async function readVerified({ path, sha256 }: ModelFile): Promise<Buffer> {
  const content = await read(path)
  compareAgain(path, hashOf(content), sha256)
  return content
}

/** A file with the checksum that its folder has for it. A folder that has none is taken as it is. */
export async function modelFile(folder: string, name: string, sums: Checksums): Promise<ModelFile> {
  const path = join(folder, name)
  const actual = await hashFile(path)
  const sha256 = sums.get(name) ?? actual
  compare(path, actual, sha256)
  return { path, sha256 }
}

export async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  try {
    await pipeline(createReadStream(path), hash)
  } catch (error) {
    throw unreadable(path, error)
  }
  return hash.digest('hex')
}

/** What `SHA256SUMS` says; nothing, if there is no such file. */
export async function readChecksums(folder: string): Promise<Checksums> {
  const text = await readFile(join(folder, checksumsFile), 'utf8').catch(() => '')
  const sums = new Map<string, string>()
  for (const line of text.split('\n')) {
    const match = /^([0-9a-f]{64})[ *]+(.+)$/.exec(line.trim())
    if (match?.[1] !== undefined && match[2] !== undefined) sums.set(match[2], match[1])
  }
  return sums
}

export async function readJson<T>(folder: string, name: string, schema: z.ZodType<T>, sums: Checksums): Promise<T> {
  const path = join(folder, name)
  const content = await read(path)
  compare(path, hashOf(content), sums.get(name) ?? hashOf(content))
  try {
    return schema.parse(JSON.parse(content.toString('utf8')))
  } catch (error) {
    throw unusable(`the model file ${path} is not a model configuration: ${errorMessage(error)}.`, error)
  }
}

/** Undefined when there is no such file. */
export async function readOptionalJson<T>(
  folder: string,
  name: string,
  schema: z.ZodType<T>,
  sums: Checksums,
): Promise<T | undefined> {
  return (await isThere(join(folder, name))) ? await readJson(folder, name, schema, sums) : undefined
}

export async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

async function read(path: string): Promise<Buffer> {
  return readFile(path).catch((error: unknown) => {
    throw unreadable(path, error)
  })
}

function hashOf(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}

function compare(path: string, actual: string, expected: string): void {
  if (actual === expected) return
  throw unusable(
    `the model file ${path} is corrupt: its SHA-256 is ${actual}, expected ${expected}. ` +
      `Restore the file from where the model came from, or correct ${checksumsFile} if the model was changed on purpose.`,
  )
}

function compareAgain(path: string, actual: string, before: string): void {
  if (actual === before) return
  throw unusable(
    `the model file ${path} has changed since this process began with it: its SHA-256 is ${actual}, it was ${before}.`,
  )
}

function unreadable(path: string, error: unknown): Fatal {
  const reason = errorCode(error) === 'ENOENT' ? 'there is no such file' : errorMessage(error)
  return unusable(
    `the model file ${path} cannot be read: ${reason}. Check the embedder's model folder and its permissions.`,
    error,
  )
}
