import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type RunningCli, startCli, tempFolder } from '../support/cli.ts'

export interface Product extends AsyncDisposable {
  readonly address: string
  readonly folder: string
  readonly cli: RunningCli
  /** Memory of the process in megabytes, without the files it maps: LMDB's pages are the page cache's, and given back. */
  memory(): Promise<number>
}

/** Runs the product, as a user would, in a folder of its own with these files in it. */
export async function startProduct(
  files: Readonly<Record<string, string>>,
  options: { readonly folder?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<Product> {
  const temp = options.folder === undefined ? await tempFolder() : undefined
  const folder = options.folder ?? temp?.path ?? ''
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), text)
  }
  const cli = await startCli(['run'], { cwd: folder, env: options.env ?? {} })
  return {
    address: cli.address,
    folder,
    cli,
    memory: () => anonymousMemory(cli.pid),
    [Symbol.asyncDispose]: async () => {
      await cli[Symbol.asyncDispose]()
      await temp?.[Symbol.asyncDispose]()
    },
  }
}

async function anonymousMemory(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^RssAnon:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) / 1024
}
