import { statfsSync } from 'node:fs'
import { type FileHandle, mkdir, open as openFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Database, RootDatabase } from 'lmdb'
import { errorCode, errorMessage, Fatal, MillraceError, Retryable } from '../../src/core/errors.ts'
import { closedError, GroupCommit, type Importance } from './group-commit.ts'

/** Keys and values are bytes, ordered bytewise. */
export type Table = Database<Buffer, Buffer>

/** Room on the disk below which appends are refused, so that what was accepted can still be processed and committed. */
const reservedForCommits = 4 * 1024 * 1024
/** Room on the disk below which nothing is written: LMDB needs some pages for any commit. */
const reservedForLmdb = 512 * 1024

/** One LMDB environment: a file in a folder, its tables, and the queue through which everything is written. */
export class Store {
  readonly #root: RootDatabase<Buffer, Buffer>
  readonly #commits: GroupCommit
  #closed = false

  constructor(root: RootDatabase<Buffer, Buffer>, folder: string) {
    this.#root = root
    this.#commits = new GroupCommit({
      // As a child transaction: if anything throws in it, nothing of it is kept.
      transaction: async (run) => {
        try {
          await root.childTransaction(run)
        } catch (error) {
          throw await commitCause(error)
        }
      },
      admit: (bytes, importance) => checkSpace(folder, bytes, importance),
      explain: (error) => explain(error, folder),
    })
  }

  table(name: string): Table {
    return this.#root.openDB<Buffer, Buffer>(name, { encoding: 'binary', keyEncoding: 'binary' })
  }

  /** What happens at the end of each transaction that wrote, and after it became durable. */
  onCommit(hooks: { readonly finish: () => void; readonly durable: () => void; readonly undone: () => void }): void {
    this.#commits.hooks = hooks
  }

  /**
   * Runs `job` in the next transaction, together with whatever else is waiting, and answers its result once that
   * transaction is durable. A job that throws a `MillraceError` must not have written anything. `bytes` is about how
   * much it writes. Throws `Retryable` (`disk_full`, `log_unavailable`).
   */
  write<T>(bytes: number, job: () => T): Promise<T> {
    return this.#commits.submit(bytes, 'append', job)
  }

  /** The same for small writes by which work goes on and room is made: these may use the last room on the disk. */
  writeEssential<T>(job: () => T): Promise<T> {
    return this.#commits.submit(0, 'essential', job)
  }

  /** Later reads of this turn of the event loop see everything that is committed by now, by any process. */
  refresh(): void {
    if (this.#closed) throw closedError()
    this.#root.resetReadTxn()
  }

  /** A process that was killed while it read would keep its snapshot, and with it every page freed since, for ever. */
  releaseDeadReaders(): void {
    if (!this.#closed) this.#root.readerCheck()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    await this.#commits.close()
    this.#closed = true
    await this.#root.close()
  }
}

/**
 * Asked before LMDB is, because LMDB takes a full disk badly: it writes to stderr, and its synchronous transactions (it
 * opens tables in them) corrupt memory.
 */
function checkSpace(folder: string, bytes: number, importance: Importance): void {
  const needed = bytes * 2 + (importance === 'append' ? reservedForCommits : reservedForLmdb)
  if (roomIn(folder) < needed) throw diskFull(folder)
}

function roomIn(folder: string): number {
  const { bavail, bsize } = statfsSync(folder)
  return bavail * bsize
}

/**
 * Opens `<folder>/<name>.mdb`, creating both.
 * Throws `Fatal` (`data_read_only`, `package_missing`, `data_unusable`) or `Retryable` (`disk_full`).
 */
export async function openStore(folder: string, name: string): Promise<Store> {
  const { open } = await importLmdb()
  try {
    await mkdir(folder, { recursive: true })
    checkSpace(folder, 0, 'essential')
    const path = join(folder, `${name}.mdb`)
    await checkFormat(path)
    const root = open<Buffer, Buffer>({
      path,
      encoding: 'binary',
      keyEncoding: 'binary',
      maxDbs: 16,
      // A commit is visible to readers only once it is durable: an offset that was read is never given out again.
      overlappingSync: false,
      // With it a failed commit also rejects a promise that nobody can get hold of, which ends the process.
      eventTurnBatching: false,
    })
    return new Store(root, folder)
  } catch (error) {
    throw explain(error, folder)
  }
}

/** MDB_MAGIC, and where it stands in the first page: after the page's header. */
const magic = 0xbeefc0de
const magicAt = 24

/** Asked before LMDB is, because LMDB crashes on a file that is none of its own. */
async function checkFormat(path: string): Promise<void> {
  let file: FileHandle
  try {
    file = await openFile(path)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return
    throw error
  }
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(magicAt + 4), 0)
    if (bytesRead === 0 || (bytesRead === buffer.length && buffer.readUInt32LE(magicAt) === magic)) return
    throw new Fatal({
      code: 'data_unusable',
      message: `${path} is damaged: it is not a file of the embedded log`,
      // The other stores know events by their offsets in this log.
      hint: 'put back a copy of the whole data folder, or move the folder away to begin anew',
    })
  } finally {
    await file.close()
  }
}

async function importLmdb(): Promise<typeof import('lmdb')> {
  try {
    return await import('lmdb')
  } catch (cause) {
    throw new Fatal({
      code: 'package_missing',
      message: `the embedded log needs the package "lmdb", which cannot be loaded: ${errorMessage(cause)}`,
      hint: 'npm install lmdb, or bind the event log to Kafka and the live log to Redis in millrace.yaml',
      cause,
    })
  }
}

function diskFull(folder: string, cause?: unknown): Retryable {
  return new Retryable({
    code: 'disk_full',
    message: `the disk that holds ${folder} is full: nothing more is accepted until there is room; what was accepted is kept`,
    hint: 'free some space, or move the data folder (data: in millrace.yaml) to a larger disk',
    delayMs: 1000,
    cause,
  })
}

/** LMDB rejects with an error that holds a promise of the reason. */
async function commitCause(error: unknown): Promise<unknown> {
  if (!(error instanceof Error && 'commitError' in error)) return error
  try {
    await error.commitError
    return error
  } catch (cause) {
    return cause
  }
}

/** LMDB gives system errors by number or, from older paths, in the text. */
function explain(error: unknown, folder: string): MillraceError {
  if (error instanceof MillraceError) return error
  const text = errorMessage(error)
  const code = errorCode(error) ?? numericCode(error)
  // A write that finds room for its first part only is reported as EIO.
  const cutShort = code === 'EIO' && roomIn(folder) < reservedForCommits
  if (cutShort || code === 'ENOSPC' || /no space left|quota exceeded/i.test(text)) return diskFull(folder, error)
  if (code === 'EACCES' || code === 'EROFS' || code === 'EPERM' || /permission denied|read-only/i.test(text))
    return new Fatal({
      code: 'data_read_only',
      message: `the data folder ${folder} cannot be written: ${text}`,
      hint: 'give this user write permission on it, or name another folder (data: in millrace.yaml)',
      cause: error,
    })
  return new Fatal({
    code: 'data_unusable',
    message: `the embedded log in ${folder} cannot be used: ${text}`,
    cause: error,
  })
}

const systemErrors: Readonly<Record<number, string>> = {
  1: 'EPERM',
  5: 'EIO',
  13: 'EACCES',
  28: 'ENOSPC',
  30: 'EROFS',
  122: 'ENOSPC',
}

function numericCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error) || typeof error.code !== 'number')
    return undefined
  return systemErrors[error.code]
}
