import { createHash, randomUUID } from 'node:crypto'
import { link, mkdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorCode, errorMessage, Fatal, MillraceError, Retryable } from '../../src/core/errors.ts'
import { isProcessIdentity, liveness, type ProcessIdentity, thisProcess } from './process.ts'

/** Who runs on a data folder. */
export interface LockInfo {
  readonly pid: number
  /** Where it listens; `undefined` until it does. */
  readonly address: string | undefined
  /** When it took the folder, ISO 8601. */
  readonly started: string
}

/** The data folder is this process's own until `release`. */
export interface Lock {
  update(changes: { readonly address: string }): Promise<void>
  /** Safe to call more than once. */
  release(): Promise<void>
}

interface LockFile extends ProcessIdentity {
  /** Distinguishes two locks of one process. */
  readonly token: string
  readonly address?: string | undefined
  readonly started: string
  readonly beatMs: number
}

const fileName = 'millrace.lock'
/** How often a holder touches its lock, for those who cannot see its pid: processes of other containers. */
const beatMs = 5000
/** A holder of another container is dead after so many beats left out. */
const beatsMissed = 3
/** How long to leave another process that replaces a stale lock at it. */
const claimPauseMs = 5
/**
 * Takes the data folder for this process by `<folder>/millrace.lock`; the lock of a process that is dead is taken over.
 * Throws `MillraceError` (`data_in_use`) when a living process holds it, `Fatal` (`data_read_only`) when the folder
 * cannot be written, `Retryable` (`disk_full`) when there is no room for the lock.
 */
export async function lockData(folder: string, { address }: { readonly address?: string } = {}): Promise<Lock> {
  const path = join(folder, fileName)
  const content: LockFile = {
    ...thisProcess(),
    address,
    started: new Date().toISOString(),
    token: randomUUID(),
    beatMs,
  }
  try {
    await mkdir(folder, { recursive: true })
    const holder = await acquire(path, content)
    if (holder) throw inUse(folder, path, holder)
    return held(path, content)
  } catch (error) {
    throw explain(error, folder)
  }
}

/** The living process that runs on the data folder, if there is one. */
export async function readLock(folder: string): Promise<LockInfo | undefined> {
  const holder = (await readLockFile(join(folder, fileName)))?.holder
  if (!holder || liveness(holder) === 'dead') return undefined
  if (liveness(holder) === 'unknown' && (await silentFor(join(folder, fileName))) > holder.beatMs * beatsMissed)
    return undefined
  return { pid: holder.pid, address: holder.address, started: holder.started }
}

function held(path: string, first: LockFile): Lock {
  let content = first
  const isOurs = async () => (await readLockFile(path))?.holder?.token === first.token
  const beat = setInterval(() => {
    const now = new Date()
    // A lock that cannot be touched is only ever missed by other containers.
    utimes(path, now, now).catch(() => {})
  }, beatMs).unref()
  return {
    update: async (changes) => {
      content = { ...content, ...changes }
      if (await isOurs()) await replace(path, content)
    },
    release: async () => {
      clearInterval(beat)
      if (await isOurs()) await rm(path, { force: true })
    },
  }
}

/**
 * Makes the file with this content unless a living process has it, which is then the answer.
 * A stale file is replaced by whoever holds a claim on exactly that file, itself a lock: so of several that find the same
 * stale lock one replaces it, and none replaces the lock of the one that was faster.
 */
async function acquire(path: string, content: LockFile): Promise<LockFile | undefined> {
  for (;;) {
    if (await create(path, content)) return undefined
    const stale = await readLockFile(path)
    if (stale === undefined) continue
    if (stale.holder && (await isAlive(path, stale.holder))) return stale.holder
    const claim = `${path}.${stale.digest}`
    if (await acquire(claim, content)) {
      await sleep(claimPauseMs)
      continue
    }
    try {
      if ((await readLockFile(path))?.digest !== stale.digest) continue
      await replace(path, content)
      return undefined
    } finally {
      await rm(claim, { force: true })
    }
  }
}

/** Waits for a sign of life from a holder whose pid cannot be seen. */
async function isAlive(path: string, holder: LockFile): Promise<boolean> {
  if (liveness(holder) !== 'unknown') return liveness(holder) === 'alive'
  const before = await silentFor(path)
  for (let silent = before; silent <= holder.beatMs * beatsMissed; silent = await silentFor(path)) {
    if (silent < before) return true
    await sleep(holder.beatMs / 5)
  }
  return false
}

/** Milliseconds since the lock was touched. */
async function silentFor(path: string): Promise<number> {
  try {
    return Date.now() - (await stat(path)).mtimeMs
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

/** In one step, so that nobody ever reads half of it. False if the file is there already. */
async function create(path: string, content: LockFile): Promise<boolean> {
  const draft = await writeDraft(path, content)
  try {
    await link(draft, path)
    return true
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false
    throw error
  } finally {
    await rm(draft, { force: true })
  }
}

async function replace(path: string, content: LockFile): Promise<void> {
  await rename(await writeDraft(path, content), path)
}

async function writeDraft(path: string, content: LockFile): Promise<string> {
  const draft = `${path}.${randomUUID()}`
  await writeFile(draft, `${JSON.stringify(content)}\n`)
  return draft
}

interface StoredLock {
  /** Undefined when the file is damaged. */
  readonly holder: LockFile | undefined
  /** Of the content: names this very file. */
  readonly digest: string
}

async function readLockFile(path: string): Promise<StoredLock | undefined> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined
    throw error
  }
  return { holder: parse(text), digest: createHash('sha256').update(text).digest('hex').slice(0, 16) }
}

function parse(text: string): LockFile | undefined {
  try {
    const content: unknown = JSON.parse(text)
    return isLockFile(content) ? content : undefined
  } catch {
    return undefined
  }
}

function isLockFile(value: unknown): value is LockFile {
  return (
    isProcessIdentity(value) &&
    'token' in value &&
    typeof value.token === 'string' &&
    'started' in value &&
    typeof value.started === 'string' &&
    'beatMs' in value &&
    typeof value.beatMs === 'number'
  )
}

function inUse(folder: string, path: string, { pid, address, started }: LockFile): MillraceError {
  const where = address === undefined ? '' : ` at ${address}`
  return new MillraceError({
    code: 'data_in_use',
    message: `the data folder ${folder} is in use by process ${pid}${where} (since ${started})`,
    hint: `stop that process, or run this one on another folder (data: in millrace.yaml, or MILLRACE_DATA); if no such process runs anywhere, delete ${path}`,
  })
}

function explain(error: unknown, folder: string): unknown {
  const code = errorCode(error)
  if (code === 'EACCES' || code === 'EROFS' || code === 'EPERM')
    return new Fatal({
      code: 'data_read_only',
      message: `the data folder ${folder} cannot be written: ${errorMessage(error)}`,
      hint: 'give this user write permission on it, or name another folder (data: in millrace.yaml)',
      cause: error,
    })
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new Retryable({
      code: 'disk_full',
      message: `the disk that holds ${folder} is full`,
      hint: 'free some space, or move the data folder (data: in millrace.yaml) to a larger disk',
      cause: error,
    })
  return error
}
