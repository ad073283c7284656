import { join } from 'node:path'
import { build, preview } from 'vite'
import { tempFolder } from '../support/cli.ts'

export interface Pages extends AsyncDisposable {
  /** The address of a page, on an origin of their own, with what it is to show. */
  url(page: string, parameters: Readonly<Record<string, string>>): string
}

const root = join(import.meta.dirname, 'pages')

/** Builds the pages of `pages/` and serves them. */
export async function servePages(): Promise<Pages> {
  const folder = await tempFolder()
  const input = ['index.html', 'record.html', 'worker.html'].map((name) => join(root, name))
  const outDir = folder.path
  const shared = { root, configFile: false, logLevel: 'error' } as const
  // React's build for development, since its StrictMode mounts everything twice.
  const mode = 'development'
  await build({ ...shared, mode, build: { outDir, emptyOutDir: true, minify: false, rolldownOptions: { input } } })
  const server = await preview({ ...shared, build: { outDir }, preview: { host: '127.0.0.1', port: 0 } })
  const origin = server.resolvedUrls?.local[0] ?? ''
  return {
    url: (page, parameters) => `${new URL(page, origin)}?${new URLSearchParams(parameters)}`,
    async [Symbol.asyncDispose]() {
      await server.close()
      await folder[Symbol.asyncDispose]()
    },
  }
}
