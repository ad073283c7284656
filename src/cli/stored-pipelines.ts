import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCode } from '../core/errors.ts'

export interface StoredPipeline {
  readonly file: string
  readonly text: string
}

/** Pipelines that were put through the API, one file each. */
export interface StoredPipelines {
  /** Keeps a pipeline's text under its name, or forgets it. */
  keep(name: string, text: string | undefined): Promise<void>
  /** In the order of their names. */
  load(): Promise<StoredPipeline[]>
}

export function storedPipelines(folder: string): StoredPipelines {
  const suffix = '.yaml'
  return {
    async keep(name, text) {
      const file = join(folder, name + suffix)
      if (text === undefined) {
        await rm(file, { force: true })
        return
      }
      await mkdir(folder, { recursive: true })
      // A process that ends in the midst of it leaves the file as it was.
      await writeFile(`${file}.new`, text)
      await rename(`${file}.new`, file)
    },
    async load() {
      const names = await readdir(folder).catch((error: unknown) => {
        if (errorCode(error) === 'ENOENT') return []
        throw error
      })
      const files = names.filter((name) => name.endsWith(suffix)).toSorted()
      return Promise.all(
        files.map(async (name) => {
          const file = join(folder, name)
          return { file, text: await readFile(file, 'utf8') }
        }),
      )
    },
  }
}
