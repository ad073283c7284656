import type { IntakeContext } from '../../src/core/component.ts'
import { errorCode, errorMessage } from '../../src/core/errors.ts'
import type { Json } from '../../src/core/event.ts'
import { Appender } from './appender.ts'
import { type FileReader, type FoundFile, undecodable } from './reader.ts'
import { findPaths, foldersOf, look, type Selection } from './scan.ts'
import { FolderWatch } from './watch.ts'

/** How many files are opened at once. */
const parallel = 16
/** Looking at all files again takes this part of the time at most, so that large folders cost little while idle. */
const idleShare = 1 / 40
const changedShare = 1 / 4
/** Milliseconds. */
const leastPause = 1_000
/** A file that was changed so shortly before may have been changed again unnoticed. Milliseconds. */
const settledAfter = 5_000

/** Brings what is in the files, and then what changes in them, into the log. */
export class FilesIntake {
  readonly #selection: Selection
  readonly #reader: FileReader
  readonly #context: IntakeContext
  readonly #appender: Appender
  /** What is remembered of each file. */
  readonly #known = new Map<string, Json>()
  /** Modification times and sizes of files in which there is nothing new for sure. */
  readonly #settled = new Map<string, string>()
  readonly #reported = new Set<string>()
  /** What the globs have found in this life. */
  readonly #meant = new Set<string>()

  constructor(selection: Selection, reader: FileReader, context: IntakeContext) {
    this.#selection = selection
    this.#reader = reader
    this.#context = context
    this.#appender = new Appender(context.append)
  }

  async run(follow: boolean): Promise<void> {
    for await (const [key, value] of this.#context.state.scan(statePrefix)) {
      this.#known.set(key.slice(statePrefix.length), value)
    }
    if (!follow) {
      await this.#lookAtAll()
      return
    }
    const watch = new FolderWatch(this.#selection.folder)
    try {
      await this.#follow(watch)
    } finally {
      watch.close()
    }
  }

  async #follow(watch: FolderWatch): Promise<void> {
    const { signal } = this.#context
    while (!signal.aborted) {
      const start = performance.now()
      watch.update(foldersOf(await this.#lookAtAll(), this.#selection))
      const end = performance.now()
      await this.#followKnown(watch, end + (end - start) / changedShare, end + pauseAfter(end - start))
    }
  }

  /** Follows the files that are known, until it is time to look at all: soon when others came, else late. */
  async #followKnown(watch: FolderWatch, soon: number, late: number): Promise<void> {
    const { signal } = this.#context
    let until = late
    while (!signal.aborted && performance.now() < until) {
      const { paths, unknown } = await watch.next(until - performance.now(), signal)
      const known = [...paths].filter((path) => this.#known.has(path))
      if (unknown || known.length < paths.size) until = Math.min(until, soon)
      for (const path of known) this.#settled.delete(path)
      if (known.length > 0) await this.#lookAt(known)
    }
  }

  async #lookAtAll(): Promise<string[]> {
    const paths = await findPaths(this.#selection)
    for (const path of paths) this.#meant.add(path)
    await this.#lookAt(paths)
    await this.#takeBack(new Set(paths))
    return paths
  }

  async #lookAt(paths: readonly string[]): Promise<void> {
    const queue = paths.values()
    const work = async () => {
      for (const path of queue) {
        if (this.#context.signal.aborted) return
        const found = await look(this.#selection.folder, path)
        if (found === 'absent') await this.#forget(path)
        else if (found !== 'unknown') await this.#readNew(found)
      }
    }
    await Promise.all(Array.from({ length: parallel }, work))
    await this.#appender.flush()
  }

  async #readNew(file: FoundFile): Promise<void> {
    const { path } = file
    const version = `${file.modified} ${file.size}`
    if (this.#settled.get(path) === version) return
    try {
      for await (const { records, remember } of this.#reader.read(file, this.#known.get(path))) {
        this.#known.set(path, remember)
        await this.#appender.add(records, { key: statePrefix + path, value: remember })
        if (this.#context.signal.aborted) return
      }
      this.#reported.delete(path)
      if (Date.now() - file.modified > settledAfter) this.#settled.set(path, version)
    } catch (error) {
      await this.#report(path, error)
    }
  }

  /** A file that cannot be read becomes one dead letter; the others go on, and it is tried again later. */
  async #report(path: string, error: unknown): Promise<void> {
    const code = errorCode(error)
    if (code === undefined || !/^E[A-Z0-9]+$/.test(code)) throw error
    if (code === 'ENOENT' || this.#reported.has(path)) return
    this.#reported.add(path)
    const reason = `the file cannot be read: ${errorMessage(error)}`
    await this.#appender.add([undecodable(path, Buffer.from(reason), reason)])
  }

  /**
   * What was read and is not there any more, or was meant by other globs in an earlier life. That a folder could not be
   * listed this time is no reason: a file that was found before and is still there stays.
   */
  async #takeBack(present: ReadonlySet<string>): Promise<void> {
    for (const path of [...this.#known.keys()]) {
      if (present.has(path) || this.#context.signal.aborted) continue
      const found = await look(this.#selection.folder, path)
      if (found === 'absent' || (found !== 'unknown' && !this.#meant.has(path))) await this.#forget(path)
    }
    await this.#appender.flush()
  }

  async #forget(path: string): Promise<void> {
    if (!this.#known.delete(path)) return
    this.#settled.delete(path)
    this.#meant.delete(path)
    await this.#appender.add(this.#reader.gone(path), { key: statePrefix + path, value: undefined })
  }
}

const statePrefix = 'file:'

function pauseAfter(duration: number): number {
  return Math.max(leastPause, duration / idleShare)
}
