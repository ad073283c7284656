import { createHash } from 'node:crypto'
import { readFile, realpath } from 'node:fs/promises'
import { extname, join, sep } from 'node:path'
import { errorCode } from '../core/errors.ts'
import type { StaticFile, StaticFiles } from './static.ts'

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.json': 'application/json',
  '.woff2': 'font/woff2',
  '.webmanifest': 'application/manifest+json',
}
const absent = new Set(['ENOENT', 'ENOTDIR', 'EISDIR', 'ENAMETOOLONG', 'ERR_INVALID_ARG_VALUE'])

/** The files under a folder, which need not be there. Vite puts what has a hash in its name under `assets/`. */
export function folderFiles(folder: string): StaticFiles {
  return { get: (path) => readUnder(folder, path) }
}

async function readUnder(folder: string, path: string): Promise<StaticFile | undefined> {
  try {
    const root = await realpath(folder)
    const file = await realpath(join(root, decodeURIComponent(path)))
    if (!file.startsWith(root + sep)) return undefined
    const body = Uint8Array.from(await readFile(file))
    const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`
    const type = types[extname(file)] ?? 'application/octet-stream'
    return { body, type, etag, immutable: path.startsWith('/assets/') }
  } catch (error) {
    if (error instanceof URIError || absent.has(errorCode(error) ?? '')) return undefined
    throw error
  }
}
