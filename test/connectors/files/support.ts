import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { onTestFinished } from 'vitest'
import { FilesIntake } from '../../../connectors/files/intake.ts'
import type { FileReader } from '../../../connectors/files/reader.ts'
import { FakeIntakeContext } from '../fake-intake-context.ts'

/** A folder of files that an intake reads; it is removed after the test. */
export class Folder {
  readonly path: string
  readonly log = new FakeIntakeContext()
  #seen = 0

  private constructor(path: string) {
    this.path = path
  }

  static async make(files: Readonly<Record<string, string | Buffer>> = {}): Promise<Folder> {
    const folder = new Folder(await mkdtemp(join(tmpdir(), 'millrace-files-')))
    onTestFinished(() => rm(folder.path, { recursive: true, force: true }))
    for (const [name, content] of Object.entries(files)) await folder.write(name, content)
    return folder
  }

  async write(name: string, content: string | Buffer, flag: 'w' | 'a' = 'w'): Promise<void> {
    await mkdir(dirname(join(this.path, name)), { recursive: true })
    await writeFile(join(this.path, name), content, { flag })
  }

  remove(name: string): Promise<void> {
    return rm(join(this.path, name), { recursive: true })
  }

  move(from: string, to: string): Promise<void> {
    return rename(join(this.path, from), join(this.path, to))
  }

  #intake(reader: FileReader, globs: readonly string[], ignore: readonly string[], signal: AbortSignal): FilesIntake {
    return new FilesIntake({ folder: this.path, globs, ignore }, reader, this.log.context(signal))
  }

  /** One pass. Returns what it appended. */
  async pass(reader: FileReader, globs: readonly string[] = ['**/*'], ignore: readonly string[] = []) {
    await this.#intake(reader, globs, ignore, new AbortController().signal).run(false)
    return this.news()
  }

  /** Follows the files until the test ends or `stop` is called. */
  follow(reader: FileReader, globs: readonly string[] = ['**/*']): { stop(): Promise<void> } {
    const abort = new AbortController()
    const running = this.#intake(reader, globs, [], abort.signal).run(true)
    const stop = () => {
      abort.abort()
      return running
    }
    onTestFinished(stop)
    return { stop }
  }

  /** What was appended since the last call. */
  news() {
    const news = this.log.events().slice(this.#seen)
    this.#seen += news.length
    return news
  }
}
