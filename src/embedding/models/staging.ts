import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { errorCode } from '../../core/errors.ts'

/** What nobody has touched for so long is no longer being downloaded, wherever that was. */
const abandonedMs = 24 * 60 * 60_000

/** The folders that downloads of this process are working in. */
const inUse = new Set<string>()
let count = 0

/**
 * A folder for one download of what will lie in `folder`. It is beside it, on the same file system, and nobody else
 * works in it, so several processes that download the same thing do not disturb each other. One that a dead process of
 * this machine has left behind is taken over with all that is in it.
 */
export async function openStaging(folder: string): Promise<string> {
  const parent = dirname(folder)
  await mkdir(parent, { recursive: true })
  const staging = `${folder}.part-${hostname()}-${process.pid}-${++count}`
  inUse.add(staging)
  for (const name of await readdir(parent)) {
    const [, host, pid = ''] = /^-(.+)-(\d+)-\d+$/.exec(afterPrefix(name, `${basename(folder)}.part`) ?? '') ?? []
    if (host === undefined) continue
    const found = join(parent, name)
    if (host === hostname() ? isLeft(found, Number(pid)) : await isOld(found)) {
      // Only one of several who try is given it.
      const taken = await rename(found, staging).then(
        () => true,
        () => false,
      )
      if (taken) return staging
    }
  }
  await mkdir(staging, { recursive: true })
  return staging
}

/** The download is over. What it has got stays for the next one. */
export function leaveStaging(staging: string): void {
  inUse.delete(staging)
}

export async function removeStaging(staging: string): Promise<void> {
  await rm(staging, { recursive: true, force: true })
  leaveStaging(staging)
}

function afterPrefix(text: string, prefix: string): string | undefined {
  return text.startsWith(prefix) ? text.slice(prefix.length) : undefined
}

function isLeft(staging: string, pid: number): boolean {
  return pid === process.pid ? !inUse.has(staging) : !isAlive(pid)
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return errorCode(error) !== 'ESRCH'
  }
}

async function isOld(path: string): Promise<boolean> {
  const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() }))
  return Date.now() - mtimeMs > abandonedMs
}
