import { randomUUID } from 'node:crypto'
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCode, errorMessage, Fatal, MillraceError } from '../../src/core/errors.ts'
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
}

const fileName = 'millrace.lock'
/** Several processes may find the same stale lock; each round at least one of them gets on. */
const attempts = 20

/**
 * Takes the data folder for this process by `<folder>/millrace.lock`; the lock of a process that is dead is taken over.
 * Throws `MillraceError` (`data_in_use`) when a living process holds it, `Fatal` (`data_read_only`) when the folder
 * cannot be written.
 */
export async function lockData(folder: string, { address }: { readonly address?: string } = {}): Promise<Lock> {
  const path = join(folder, fileName)
  const content: LockFile = { ...thisProcess(), address, started: new Date().toISOString(), token: randomUUID() }
  try {
    await mkdir(folder, { recursive: true })
    for (let attempt = 0; attempt < attempts; attempt++) {
      if (await create(path, content)) return held(path, content)
      const holder = await readLockFile(path)
      if (holder === undefined) continue
      if (holder !== 'damaged' && liveness(holder) !== 'dead') throw inUse(folder, path, holder)
      await removeStale(path, holder)
    }
  } catch (error) {
    throw explain(error, folder)
  }
  throw new MillraceError({
    code: 'data_in_use',
    message: `the data folder ${folder} could not be locked: other processes are starting on it`,
    hint: 'start one process per data folder',
  })
}

/** The living process that runs on the data folder, if there is one. */
export async function readLock(folder: string): Promise<LockInfo | undefined> {
  const holder = await readLockFile(join(folder, fileName))
  if (holder === undefined || holder === 'damaged' || liveness(holder) === 'dead') return undefined
  return { pid: holder.pid, address: holder.address, started: holder.started }
}

function held(path: string, first: LockFile): Lock {
  let content = first
  const isOurs = async () => {
    const holder = await readLockFile(path)
    return holder !== undefined && holder !== 'damaged' && holder.token === first.token
  }
  return {
    update: async (changes) => {
      content = { ...content, ...changes }
      if (!(await isOurs())) return
      const draft = await writeDraft(path, content)
      await rename(draft, path)
    },
    release: async () => {
      if (await isOurs()) await rm(path, { force: true })
    },
  }
}

/** Makes the file with its whole content in one step, so that nobody ever reads half of it. */
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

async function writeDraft(path: string, content: LockFile): Promise<string> {
  const draft = `${path}.${content.token}`
  await writeFile(draft, `${JSON.stringify(content)}\n`)
  return draft
}

/**
 * Moves the stale file aside and looks at what was moved: if someone else took the lock in between, it is put back.
 */
async function removeStale(path: string, stale: LockFile | 'damaged'): Promise<void> {
  const aside = `${path}.${randomUUID()}`
  try {
    await rename(path, aside)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return
    throw error
  }
  const moved = await readLockFile(aside)
  const token = (file: LockFile | 'damaged' | undefined) => (typeof file === 'object' ? file.token : file)
  if (token(moved) !== token(stale)) await link(aside, path).catch(() => {})
  await rm(aside, { force: true })
}

async function readLockFile(path: string): Promise<LockFile | 'damaged' | undefined> {
  try {
    const content: unknown = JSON.parse(await readFile(path, 'utf8'))
    return isLockFile(content) ? content : 'damaged'
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined
    if (error instanceof SyntaxError) return 'damaged'
    throw error
  }
}

function isLockFile(value: unknown): value is LockFile {
  return (
    isProcessIdentity(value) &&
    'token' in value &&
    typeof value.token === 'string' &&
    'started' in value &&
    typeof value.started === 'string'
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
  return error
}
