import { mkdir } from 'node:fs/promises'
import { errorCode, errorMessage, Fatal, Retryable } from '../core/errors.ts'

const reasons: Readonly<Record<string, string>> = {
  EEXIST: 'a file stands in its way',
  ENOTDIR: 'a file stands in its way',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'its file system is read-only',
  // What Node says when the folder above cannot take it.
  ENOENT: 'the folder above it is read-only or gone',
}
const hint = 'choose another with --data or MILLRACE_DATA'

/** Makes a folder of the data and those above it, if need be. Throws `Fatal` (`data_unusable`), `Retryable` (`disk_full`). */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true })
  } catch (cause) {
    const code = errorCode(cause) ?? ''
    const message = `the data folder ${path} cannot be created: ${reasons[code] ?? errorMessage(cause)}`
    if (code === 'ENOSPC') {
      throw new Retryable({ code: 'disk_full', message, hint: `free some space, or ${hint}`, cause })
    }
    throw new Fatal({ code: 'data_unusable', message, hint, cause })
  }
}
