import { type FSWatcher, watch } from 'node:fs'
import { posix, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** More folders are not watched; changes in the others are found by looking again now and then. */
const maxFolders = 4_000
/** Milliseconds: writers often touch a file several times in a row. */
const gather = 50

export interface Changes {
  /** Files in watched folders that were touched, that came or that went. */
  readonly paths: ReadonlySet<string>
  /** A watch ended or named no file: anything may have changed. */
  readonly unknown: boolean
}

/**
 * Watches single folders for changes to their entries. It is a hint and no more: file systems without notifications
 * and systems short of watches give none, so whoever uses it also looks again now and then.
 */
export class FolderWatch {
  readonly #folder: string
  readonly #watchers = new Map<string, FSWatcher>()
  #paths = new Set<string>()
  #unknown = false
  #wake: () => void = () => undefined

  constructor(folder: string) {
    this.#folder = folder
  }

  /** Watches exactly these folders, given relative to the working folder, from now on. */
  update(folders: ReadonlySet<string>): void {
    for (const [folder, watcher] of this.#watchers) if (!folders.has(folder)) this.#drop(folder, watcher)
    for (const folder of folders) {
      if (this.#watchers.size >= maxFolders) return
      if (!this.#watchers.has(folder)) this.#add(folder)
    }
  }

  /** What has changed since the last call; waits for it, at most so many milliseconds or until the signal fires. */
  async next(milliseconds: number, signal: AbortSignal): Promise<Changes> {
    if (!this.#hasNews()) await this.#woken(milliseconds, signal)
    if (this.#hasNews()) await sleep(gather, undefined, { signal }).catch(() => undefined)
    const changes = { paths: this.#paths, unknown: this.#unknown }
    this.#paths = new Set()
    this.#unknown = false
    return changes
  }

  close(): void {
    for (const [folder, watcher] of this.#watchers) this.#drop(folder, watcher)
  }

  #hasNews(): boolean {
    return this.#unknown || this.#paths.size > 0
  }

  #woken(milliseconds: number, signal: AbortSignal): Promise<void> {
    return new Promise((done) => {
      const end = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', end)
        this.#wake = () => undefined
        done()
      }
      const timer = setTimeout(end, milliseconds)
      signal.addEventListener('abort', end, { once: true })
      this.#wake = end
      if (signal.aborted) end()
    })
  }

  #add(folder: string): void {
    try {
      const watcher = watch(resolve(this.#folder, folder), (_kind, name) => this.#touched(folder, name))
      watcher.on('error', () => {
        this.#drop(folder, watcher)
        this.#touched(folder, null)
      })
      this.#watchers.set(folder, watcher)
    } catch {
      // The folder is gone, or the system is out of watches: looking again must do.
    }
  }

  #drop(folder: string, watcher: FSWatcher): void {
    watcher.close()
    if (this.#watchers.get(folder) === watcher) this.#watchers.delete(folder)
  }

  #touched(folder: string, name: string | null): void {
    if (name === null) this.#unknown = true
    else this.#paths.add(posix.join(folder, name))
    this.#wake()
  }
}
