import type { Hono } from 'hono'
import { dashboardPolicy } from './headers.ts'

export interface StaticFile {
  readonly body: Uint8Array<ArrayBuffer>
  readonly type: string
  readonly etag: string
  /** Its name changes with its content, so it may be kept for ever. */
  readonly immutable: boolean
}

export interface StaticFiles {
  /** `path` starts with a slash. Undefined for what is not there, and for what lies outside. */
  get(path: string): Promise<StaticFile | undefined>
}

/** Serves a built page; a path that is no file is the page itself, so that its own addresses can be opened. */
export function serveStatic(app: Hono, files: StaticFiles | undefined): void {
  app.get('/*', async (c, next) => {
    const { path } = c.req
    if (/^\/(v1|openapi\.json)(\/|$)/.test(path)) return next()
    const asset = /\.[a-z0-9]+$/i.test(path)
    const file = await files?.get(path === '/' ? '/index.html' : path)
    const shown = file ?? (asset ? undefined : await files?.get('/index.html'))
    if (!shown && asset) return next()
    if (!shown) return c.text('Millrace is running. The dashboard is not built: npm run build:dashboard\n', 200)
    const headers = {
      'content-type': shown.type,
      etag: shown.etag,
      'cache-control': shown.immutable ? 'public, max-age=31536000, immutable' : 'no-cache',
      'content-security-policy': dashboardPolicy,
    }
    if (c.req.header('if-none-match') === shown.etag) return c.body(null, 304, headers)
    return c.body(shown.body, 200, headers)
  })
}
