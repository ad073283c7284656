import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type RunningCli, startCli, tempFolder } from '../support/cli.ts'

export interface Product extends AsyncDisposable {
  readonly address: string
  readonly folder: string
  readonly cli: RunningCli
  get(path: string): Promise<unknown>
  post(path: string, body: unknown): Promise<unknown>
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
  await ready(cli.address)
  return {
    address: cli.address,
    folder,
    cli,
    get: (path) => request(`${cli.address}${path}`),
    post: (path, body) =>
      request(`${cli.address}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
    memory: () => anonymousMemory(cli.pid),
    [Symbol.asyncDispose]: async () => {
      await cli[Symbol.asyncDispose]()
      await temp?.[Symbol.asyncDispose]()
    },
  }
}

export async function ready(address: string, timeoutMs = 60_000): Promise<void> {
  const deadline = Date.now() + timeoutMs
  while (Date.now() < deadline) {
    const response = await fetch(`${address}/readyz`).catch(() => undefined)
    await response?.body?.cancel()
    if (response?.ok) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error(`${address} is not ready after ${timeoutMs} ms`)
}

async function request(url: string, init?: RequestInit): Promise<unknown> {
  const response = await fetch(url, init)
  const text = await response.text()
  if (!response.ok) throw new Error(`${init?.method ?? 'GET'} ${url}: ${response.status} ${text}`)
  return text === '' ? undefined : JSON.parse(text)
}

async function anonymousMemory(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^RssAnon:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) / 1024
}

export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}
