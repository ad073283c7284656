import { stat } from 'node:fs/promises'
import { dirname, isAbsolute, posix, relative, resolve, sep } from 'node:path'
import { glob } from 'tinyglobby'
import { errorCode } from '../../src/core/errors.ts'
import type { FoundFile } from './reader.ts'

/** Which files are meant: globs, relative to `folder` unless they are absolute. */
export interface Selection {
  readonly folder: string
  readonly globs: readonly string[]
  readonly ignore: readonly string[]
}

/** The paths of all files that are meant, relative to the folder, in order. Links to folders are not followed. */
export async function findPaths({ folder, globs, ignore }: Selection): Promise<string[]> {
  const found = await glob([...globs], {
    cwd: folder,
    ignore: [...ignore],
    expandDirectories: false,
    followSymbolicLinks: false,
  })
  return found.sort()
}

/** `absent`: certainly not there. `unknown`: it cannot be told at present. */
export async function look(folder: string, path: string): Promise<FoundFile | 'absent' | 'unknown'> {
  const absolute = resolve(folder, path)
  try {
    const found = await stat(absolute)
    return found.isFile() ? { path, absolute, size: found.size, modified: found.mtimeMs } : 'absent'
  } catch (error) {
    const code = errorCode(error)
    return code === 'ENOENT' || code === 'ENOTDIR' ? 'absent' : 'unknown'
  }
}

/** The folders to watch: those of the files, and all above them down from where the globs begin. */
export function foldersOf(paths: readonly string[], { folder, globs }: Selection): Set<string> {
  const roots = new Set(globs.map((pattern) => rootOf(pattern, folder)))
  const folders = new Set(roots)
  for (const path of paths) {
    for (let above = posix.dirname(path); !folders.has(above); above = posix.dirname(above)) {
      folders.add(above)
      if (above === '.' || above === '/') break
    }
  }
  return folders
}

/** The folder in which a glob begins: the part before the first segment with a wildcard. */
function rootOf(pattern: string, folder: string): string {
  const segments = pattern.split('/')
  const wild = segments.findIndex((segment) => /[*?[\]{}()!+@]/.test(segment))
  const fixed = wild === -1 ? dirname(pattern) : segments.slice(0, wild).join('/') || (isAbsolute(pattern) ? '/' : '.')
  return relative(folder, resolve(folder, fixed)).split(sep).join('/') || '.'
}
