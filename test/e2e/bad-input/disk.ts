import { execFile } from 'node:child_process'
import { open, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { tempFolder } from '../../support/cli.ts'

const run = promisify(execFile)

/** A small disk of its own, in memory. It takes the right to mount one. */
export async function smallDisk(megabytes: number) {
  const folder = await tempFolder()
  const { path } = folder
  await run('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', path])
  return {
    path,
    /** Fills the disk until so many bytes are left. */
    async fill(left: number): Promise<void> {
      const { bavail, bsize } = await statfs(path)
      const file = await open(join(path, 'ballast'), 'a')
      try {
        await file.write(Buffer.alloc(Math.max(0, bavail * bsize - left)))
      } finally {
        await file.close()
      }
    },
    async [Symbol.asyncDispose]() {
      // Lazily: whoever still holds a file there is on its way out.
      await run('umount', ['-l', path])
      await folder[Symbol.asyncDispose]()
    },
  }
}

/** Nothing new can be written into the folder until the end of the scope; files that are open stay as they are. */
export async function readOnly(path: string): Promise<AsyncDisposable> {
  await run('mount', ['--bind', path, path])
  await run('mount', ['-o', 'remount,ro,bind', path])
  return { [Symbol.asyncDispose]: async () => void (await run('umount', ['-l', path])) }
}

/** Why disks cannot be mounted here, or undefined if they can. */
export async function mountProblem(): Promise<string | undefined> {
  try {
    await using _disk = await smallDisk(1)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message.trim() : String(error)
  }
}
